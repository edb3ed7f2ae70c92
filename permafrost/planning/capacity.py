"""What stays when failure domains are lost: N-1, N-2 …, worst case first, by group.

A group's members share nothing, so what is lost with a domain is the members in it, and the worst
loss of k domains is that of the k fullest. For endpoints ``survives`` says how many domains may
be lost, whichever they are, with ``min_ready`` replicas left; for knowledge, with a majority of
members; for edges, with one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from permafrost.planning.demand import domain_of
from permafrost.planning.slots import Slot
from permafrost.site.model import Site
from permafrost.topology import Group, Tier, groups, names_by_group


@dataclass(frozen=True, slots=True)
class GroupCapacity:
    """``left_after[k - 1]`` members are left after the worst loss of k failure domains."""

    group: str
    members: int
    needed: int
    domains: int
    left_after: tuple[int, ...]
    requests_at_once: int = 0

    @property
    def survives(self) -> int:
        """How many failure domains may be lost, whichever, with ``needed`` members left."""
        return sum(left >= self.needed for left in self.left_after)

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable form (docs/interfaces.md)."""
        return {
            "group": self.group,
            "members": self.members,
            "needed": self.needed,
            "domains": self.domains,
            "left_after": list(self.left_after),
            "survives": self.survives,
        }

    def sentence(self, level: str) -> str:
        """Return it as a line for people."""
        first = self.left_after[0] if self.left_after else 0
        text = (
            f"{self.group}: {self.members} on {self.domains} {level}"
            f"{'s' if self.domains != 1 else ''}; any {level} lost leaves "
            f"{first} (needs {self.needed})"
        )
        if self.requests_at_once:
            per_member = self.requests_at_once // self.members
            text += f", {per_member * first} of {self.requests_at_once} requests at once"
        return f"{text}; survives {self.survives}"


def capacity_of(site: Site, placement: Mapping[str, Slot]) -> tuple[GroupCapacity, ...]:
    """Return the capacity of each group that is placed."""
    members = names_by_group(site)
    found = []
    for group in groups(site):
        slots = [placement[n] for n in members[group.name] if n in placement]
        if not slots:
            continue
        filled = Counter(domain_of(site, slot.host) or slot.host for slot in slots)
        left, after = len(slots), []
        for _, lost in sorted(filled.items(), key=lambda item: -item[1]):
            left -= lost
            after.append(left)
        found.append(
            GroupCapacity(
                group.name,
                len(slots),
                _needed(site, group),
                len(filled),
                tuple(after),
                _at_once(site, group) * len(slots),
            )
        )
    return tuple(found)


def _needed(site: Site, group: Group) -> int:
    match group.tier:
        case Tier.INFERENCE:
            return site.inference[group.name].min_ready
        case Tier.KNOWLEDGE:
            return group.count // 2 + 1
        case Tier.EDGE | Tier.REGISTRY:
            return 1


def _at_once(site: Site, group: Group) -> int:
    return site.inference[group.name].max_concurrent if group.tier is Tier.INFERENCE else 0
