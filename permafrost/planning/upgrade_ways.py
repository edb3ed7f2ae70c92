"""The steps of each way to another checkpoint, from wherever an endpoint stands.

*Side by side* loads the other slot of every replica and switches; nobody is ever away. *Cut-over*
and *rolling* exchange one slot for the other on one replica after another, each drained, proven
and let in again. Cut-over exchanges a part that serves nobody until every edge is switched to it,
so no two versions answer requests without a pin. Rolling has every replica that is exchanged serve
at once: edges send its slot the share of the requests that its replicas are of all.

Invariants: a replica is exchanged only while ``min_ready`` others serve; edges are switched only
to a slot that ``min_ready`` replicas have proven; a pin is answered by its checkpoint or refused.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from permafrost.planning.canary import Canary
from permafrost.planning.live import LiveState
from permafrost.planning.release import ALL, Release, other_slot
from permafrost.planning.slot_steps import (
    admit_slot_drafts,
    canary_draft,
    cut_over_draft,
    keep_pins_draft,
    load_drafts,
    move_drafts,
    record_draft,
    share_draft,
)
from permafrost.planning.steps import Draft
from permafrost.site.model import Endpoint, Site
from permafrost.topology import Node, replicas


def beside_drafts(
    site: Site, held: Release, checkpoint: str, canary: Canary | None
) -> tuple[Release, tuple[Draft, ...]]:
    """Return what holds in the end, and the steps: both slots of every replica are loaded."""
    slots = {held.live: held.checkpoint, held.spare: checkpoint}
    made = replace(held, slots=slots, open=(held.live,), share=0)
    both = replace(made, open=tuple(sorted(slots)))
    after = replace(both, live=held.spare, previous=held.checkpoint)
    drafts = [
        record_draft(made, "both slots"),
        *load_drafts(site, held.endpoint, held.spare, checkpoint),
    ]
    if canary is not None:
        drafts.append(canary_draft(replace(both, share=canary.share), canary))
    return after, (*drafts, cut_over_draft(made, after))


@dataclass(slots=True)
class Exchange:
    """An endpoint whose replicas are to hold ``to``'s one slot alone.

    ``holders``: replicas that do already; ``away``: those that no edge is to send requests to.
    ``mixed``: both versions may answer meanwhile.
    """

    site: Site
    held: Release
    to: Release
    owner: str
    mixed: bool
    holders: Collection[str] = frozenset()
    away: Collection[str] = frozenset()
    canary: Canary | None = None
    pins_s: float = 0.0
    _drafts: list[Draft] = field(default_factory=list, init=False)

    def drafts(self) -> tuple[Draft, ...]:
        """Return the steps."""
        self._drafts = []
        if self.held.live == self.to.live:
            self._bring_back()
        else:
            self._bring_in()
        return tuple(self._drafts)

    @property
    def _members(self) -> tuple[Node, ...]:
        return replicas(self.site, self.to.endpoint)

    @property
    def _lacking(self) -> list[Node]:
        """Whoever is away already comes first: that takes nobody else away meanwhile."""
        lacking = [n for n in self._members if n.name not in self.holders]
        return sorted(lacking, key=lambda n: n.name not in self.away)

    @property
    def _both(self) -> Release:
        """Both slots, as the record has them while some replicas hold one and some the other."""
        target = self.to.live
        source = other_slot(target)
        slots = {source: self.held.slots.get(source, ""), target: self.to.checkpoint}
        found = {s: d for s, d in slots.items() if d}
        return replace(self.held, slots=found, open=tuple(sorted(found)), share=0)

    def _bring_in(self) -> None:
        """Clients go to the other slot: part is moved, edges are switched, the rest follows."""
        endpoint, have = self.site.inference[self.to.endpoint], len(self.holders)
        wanted = part_of(endpoint, len(self._members), mixed=self.mixed)
        part = self._lacking[: max(0, wanted - have)]
        if dict(self.held.slots) != dict(self._both.slots):
            begun = replace(self._both, open=(self.held.live,))
            self._drafts.append(record_draft(begun, "both, on different replicas"))
        self._admit_holders()
        if self.mixed and have:
            self._drafts.append(share_draft(self._shared(have)))
        for node in part:
            self._move(node)
            have += 1
            if self.mixed:
                self._watch(is_first=node == part[0])
                self._drafts.append(share_draft(self._shared(have)))
        if not self.mixed:
            self._watch(is_first=True)
        switched = replace(self._both, live=self.to.live, previous=self.to.previous)
        self._drafts.append(cut_over_draft(self.held, switched, part=True))
        if self.pins_s:
            self._drafts.append(keep_pins_draft(switched, self.pins_s))
        self._drafts.append(record_draft(self.to, f"slot {self.to.live} alone"))
        for node in self._lacking[len(part) :]:
            self._move(node)

    def _bring_back(self) -> None:
        """Clients go to this slot already, perhaps not all of them: whoever lacks it follows."""
        floor = self.site.inference[self.to.endpoint].min_ready
        serving = len(set(self.holders) - set(self.away))
        closed = replace(self._both, live=self.to.live, open=(self.to.live,))
        others = sum(n.name not in self.away for n in self._lacking)
        is_step_by_step = bool(self.held.share) and serving < floor
        if len(closed.slots) > 1 and not is_step_by_step:
            self._drafts.append(share_draft(closed))
        self._admit_holders()
        for node in self._lacking:
            others -= node.name not in self.away
            if is_step_by_step and node.name not in self.away:
                share = share_of(others, len(self._members) - 1)
                self._drafts.append(share_draft(replace(closed, share=share)))
            self._move(node)
        self._drafts.append(record_draft(self.to, f"slot {self.to.live} alone"))

    def _shared(self, have: int) -> Release:
        return replace(self._both, share=share_of(have, len(self._members) - 1))

    def _watch(self, *, is_first: bool) -> None:
        if self.canary is not None and is_first:
            made = replace(self._both, share=self.canary.share)
            self._drafts.append(canary_draft(made, self.canary))

    def _move(self, node: Node) -> None:
        to = self.to
        self._drafts += move_drafts(self.site, node, to.live, to.checkpoint, owner=self.owner)

    def _admit_holders(self) -> None:
        """Whoever holds it and is still kept away (cut between the two) comes back first."""
        to = self.to
        for node in self._members:
            if node.name in self.holders and node.name in self.away:
                self._drafts += admit_slot_drafts(
                    self.site, node, to.live, to.checkpoint, owner=self.owner
                )


def part_of(endpoint: Endpoint, count: int, *, mixed: bool) -> int:
    """Return how many replicas are moved before the edges are switched."""
    if mixed:
        return count - 1
    return min(max(count // 2, endpoint.min_ready), count - endpoint.min_ready)


def share_of(have: int, serving: int) -> int:
    """Return the thousandths of requests for a slot that so many of those that serve have."""
    return min(ALL, round(ALL * have / serving)) if serving > 0 else ALL


def holders_of(site: Site, live: LiveState, name: str, slot: str, checkpoint: str) -> set[str]:
    """Return the replicas that are to load this in this slot, and nothing in the other."""
    found = set()
    for node in replicas(site, name):
        facts = live.nodes.get(node.name)
        told = {s: f.pinned for s, f in facts.slots.items()} if facts else {}
        if told == {slot: checkpoint}:
            found.add(node.name)
    return found
