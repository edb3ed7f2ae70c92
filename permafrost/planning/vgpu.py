"""How many vGPUs of a profile a host has room for, from what vCenter states of its cards.

A host lists the profiles that its vGPU software offers (``config.sharedPassthruGpuTypes``) and
its cards with the VMs that run on each (``config.graphicsInfo``); how many of a profile a card
takes it does not say. That follows from the profile's name, ``grid_l40s-12c`` or, of MIG,
``grid_a100-3-20c``: after the card's family come the slices of MIG and the GiB of memory. The
largest profile that is offered of a family has all of the card's memory.

Nothing is promised twice: a card holds vGPUs of one size at a time (the default of NVIDIA's
software, "equal size"), so one whose VMs have another size has no room. Where a site asks for
several profiles of one family, each free card of a host is set aside for one of them beforehand,
in turn: a placement that needs another split is not found.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from permafrost.planning.snapshot import GraphicsCard, HostFacts, VmFacts

NAME = re.compile(
    r"(?P<family>[a-z0-9_.-]+?)-(?:(?P<slices>\d)-)?(?P<gib>\d+)(?P<series>[a-z][a-z0-9]*)"
)
SLICES = 7
"""Compute slices of a card in MIG mode; one with four has memory for no more than four."""
MOST_TIME_SLICED = 32
"""vGPUs on one card without MIG: no type of NVIDIA's has more, however small it is."""
MOST_NAMED = 6
"""Profiles that an error lists of a host."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile's name says. ``slices`` is 0 without MIG."""

    family: str
    slices: int
    gib: Fraction

    @property
    def size(self) -> tuple[int, Fraction]:
        """What vGPUs that share a card have in common."""
        return self.slices, self.gib


def parsed(name: str) -> Profile | None:
    """Return what a profile's name says; None of a name of another form."""
    found = NAME.fullmatch(name)
    if found is None:
        return None
    # A size of 0 is half a GiB (grid_m60-0b).
    gib = Fraction(int(found["gib"])) or Fraction(1, 2)
    return Profile(found["family"], int(found["slices"] or 0), gib)


def most_on_card(name: str, offered: Collection[str]) -> int:
    """Return how many vGPUs of a profile an empty card takes; one at least, if it is offered."""
    if name not in offered:
        return 0
    profile = parsed(name)
    if profile is None:
        return 1
    whole = max(
        (p.gib for other in offered if (p := parsed(other)) and p.family == profile.family),
        default=profile.gib,
    )
    by_memory = int(whole / profile.gib)
    limit = SLICES // max(profile.slices, 1) if profile.slices else MOST_TIME_SLICED
    return max(1, min(by_memory, limit))


def rooms_for(
    profiles: Iterable[str],
    host: HostFacts,
    vms: Iterable[VmFacts],
    own: Collection[str],
    turn: int = 0,
) -> dict[str, int]:
    """Return how many vGPUs of each profile a host has for the site.

    ``own`` are the site's nodes: what they hold counts as free. ``turn`` says which profile comes
    first where cards are shared out: the host's number.
    """
    wanted = sorted(set(profiles))
    unseen = [vm for vm in vms if vm.name not in own and _is_unseen(vm, host)]
    found = dict.fromkeys(wanted, 0)
    by_family: dict[str, list[str]] = {}
    for name in wanted:
        if name in host.vgpu_profiles:
            by_family.setdefault(_family(name), []).append(name)
    for family, names in by_family.items():
        for name, cards in _shared_out(names, cards_of(host, family), own, turn).items():
            rooms = sorted((_room(c, name, host.vgpu_profiles, own) for c in cards), reverse=True)
            # On which card a VM is that vCenter names on none is not known: the emptiest.
            found[name] = sum(rooms[len(unseen) :])
    return found


def cards_of(host: HostFacts, family: str) -> list[GraphicsCard]:
    """Return the cards that take vGPUs of a family.

    Which card a family belongs to is told by names alone. Where a host has several kinds and
    none has the family's name, it is the kind of which there are fewest.
    """
    shared = [c for c in host.cards if c.is_shared]
    kinds: dict[str, list[GraphicsCard]] = {}
    for card in shared:
        kinds.setdefault(card.name, []).append(card)
    if len(kinds) < 2:
        return shared
    words = set(family.split("_")[1:])
    named = [cards for name, cards in kinds.items() if words <= _words(name)]
    return named[0] if len(named) == 1 else min(kinds.values(), key=lambda c: (len(c), c[0].name))


def missing_profile(profile: str, host: HostFacts) -> str:
    """Return why a host has no vGPU of a profile at all; empty where it offers it."""
    if profile in host.vgpu_profiles and any(c.is_shared for c in host.cards):
        return ""
    if not host.cards:
        return f"does not offer vGPU profile {profile}: no card for vGPUs"
    if not any(c.is_shared for c in host.cards):
        return f"does not offer vGPU profile {profile}: no card is set to Shared Direct"
    offered = ", ".join(host.vgpu_profiles[:MOST_NAMED]) or "none"
    more = "" if len(host.vgpu_profiles) <= MOST_NAMED else ", …"
    return f"does not offer vGPU profile {profile} (it offers {offered}{more})"


def _family(name: str) -> str:
    profile = parsed(name)
    return profile.family if profile else name


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", name.lower().removeprefix("nvidia")))


def _is_unseen(vm: VmFacts, host: HostFacts) -> bool:
    seen = {name for card in host.cards for name, _ in card.users}
    return bool(vm.vgpus) and vm.is_on and vm.host == host.name and vm.name not in seen


def _shared_out(
    names: Sequence[str], cards: Sequence[GraphicsCard], own: Collection[str], turn: int
) -> Mapping[str, Sequence[GraphicsCard]]:
    if len(names) == 1:
        return {names[0]: cards}
    found: dict[str, list[GraphicsCard]] = {name: [] for name in names}
    for card in sorted(cards, key=lambda c: c.address):
        kept = sorted(p for vm, p in card.users if vm in own and p in found)
        if kept:
            found[kept[0]].append(card)
        else:
            found[names[turn % len(names)]].append(card)
            turn += 1
    return found


def _room(card: GraphicsCard, name: str, offered: Collection[str], own: Collection[str]) -> int:
    others = [profile for vm, profile in card.users if vm not in own]
    if any(_size(profile) != _size(name) for profile in others):
        return 0
    return max(0, most_on_card(name, offered) - len(others))


def _size(name: str) -> object:
    profile = parsed(name)
    return profile.size if profile else name
