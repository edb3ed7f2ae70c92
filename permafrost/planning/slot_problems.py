"""Why a slot cannot be filled, or cannot answer for an endpoint, now."""

from __future__ import annotations

from collections.abc import Iterable

from permafrost.errors import Problem
from permafrost.facts import Traffic
from permafrost.planning.live import LiveState
from permafrost.planning.release import Release, slots_of
from permafrost.site.model import Site
from permafrost.topology import replicas


def serving_problems(site: Site, live: LiveState, name: str) -> list[Problem]:
    """Return why not every replica of an endpoint serves what is recorded as live."""
    held = live.releases[name]
    problems = edge_problems(live)
    for node in replicas(site, name):
        state, reason = live.state_of(node)
        facts = live.nodes.get(node.name)
        if state.value != "ADMITTED" or facts is None:
            problems.append(
                Problem(
                    "UPGRADE_REPLICA_AWAY",
                    f"it is {state.value}" + (f": {reason}" if reason else ""),
                    node.name,
                    "every replica gets the new checkpoint: bring it back first",
                )
            )
        elif facts.checkpoint != held.checkpoint:
            problems.append(
                Problem(
                    "UPGRADE_LIVE_DIFFERS",
                    f"it serves {facts.checkpoint}; site file and lock say {held.checkpoint}",
                    node.name,
                    "`permafrost deploy` makes that so, one replica after another; to have it "
                    "side by side, move the pin back and upgrade",
                )
            )
    return problems


def ready_problems(
    site: Site, live: LiveState, held: Release, slot: str, *, at_least: int | None = None
) -> list[Problem]:
    """Return why a slot could not answer for an endpoint now: too few have it proven and up.

    ``at_least``: so many are enough; else all that serve now, for a switch takes nothing away.
    """
    wanted, name = held.slots.get(slot, ""), held.endpoint
    ready, reasons = [], []
    for node in replicas(site, name):
        facts = live.nodes.get(node.name)
        seen = facts.slots.get(slot) if facts else None
        if seen is None or seen.state != "ADMITTED" or seen.checkpoint != wanted:
            told = f"{seen.state} {seen.reason}".strip() if seen else "not loaded"
            reasons.append(f"{node.name} slot {slot}: {told}")
        elif not live.traffic.can_serve(node.name, slot):
            reasons.append(f"{node.name} slot {slot}: not up at every edge")
        else:
            ready.append(node.name)
    serving = {n.name for n in replicas(site, name) if live.serves(n.name)}
    if at_least is None and serving <= set(ready) and len(ready) >= site.inference[name].min_ready:
        return []
    if at_least is not None and len(ready) >= at_least:
        return []
    return [
        Problem(
            "SLOT_NOT_READY",
            f"slot {slot} cannot answer for {name}: " + "; ".join(reasons),
            name,
            "nothing was switched; `permafrost status` shows the replicas",
        )
    ]


def could_serve(site: Site, traffic: Traffic, endpoint: str, slots: Iterable[str]) -> list[str]:
    """Return the replicas of an endpoint that have one of the slots up at every edge."""
    slots = tuple(slots)
    names = (node.name for node in replicas(site, endpoint))
    return [name for name in names if any(traffic.can_serve(name, slot) for slot in slots)]


def left_problems(site: Site, traffic: Traffic, made: Release) -> list[Problem]:
    """Return why edges cannot end a share now: it would take replicas away and leave too few.

    Those are lost that have only the slot which gets no requests any more.
    """
    name, floor = made.endpoint, site.inference[made.endpoint].min_ready
    kept = slots_of(made.routes(), name)
    sent = kept.union(*(slots_of(traffic.routes.get(e, {}), name) for e in traffic.edges()))
    had, left = (could_serve(site, traffic, name, slots) for slots in (sent, kept))
    if had == left or len(left) >= floor:
        return []
    return [
        Problem(
            "SLOT_NOT_READY",
            f"slot {' and '.join(sorted(kept))} of {name} would answer alone: "
            f"{', '.join(left) or 'nobody'} could serve, it must keep {floor}",
            name,
            "nothing was changed; `permafrost status` shows the replicas: bring them back first",
        )
    ]


def edge_problems(live: LiveState) -> list[Problem]:
    """Return the edges that do not answer: they would go on as they were told before."""
    return [
        Problem("EDGE_UNREACHABLE", f"cannot be told which slot answers: {reason}", edge,
                "`permafrost status` shows its VM; once it answers, run it again")
        for edge, reason in sorted(live.traffic.unreachable.items())
    ]  # fmt: skip
