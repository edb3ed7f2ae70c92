"""May every edge be sent to another slot now, and what does a level of force waive of that?

A switch asks that every edge is told and that all who serve have the slot proven. Under force
fewer may have it, or an edge that does not answer is left as it is: it goes on with the slot of
before, which stays loaded. No level sends anybody to what is not known to be the checkpoint that
is meant.
"""

from __future__ import annotations

from permafrost.errors import Problem
from permafrost.planning.force import Force, edges_waived, floor_under
from permafrost.planning.live import LiveState
from permafrost.planning.release import Release
from permafrost.planning.slot_problems import edge_problems, ready_problems
from permafrost.site.model import Site
from permafrost.topology import replicas


def switch_problems(
    site: Site, live: LiveState, held: Release, slot: str, force: Force | None
) -> tuple[tuple[Problem, ...], tuple[str, ...]]:
    """Return what speaks against a switch under a level of force, and what that waives."""
    silent, ready = edge_problems(live), ready_problems(site, live, held, slot)
    if force is None:
        return (*silent, *ready), ()
    found: tuple[str, ...] = ()
    if ready:
        floor = floor_under(force, site.inference[held.endpoint].min_ready)
        left = ready_problems(site, live, held, slot, at_least=floor)
        left += _unknown(site, live, held, slot)
        found = (f"{held.endpoint}: {ready[0].message}",)
        ready = left
    # Where no edge answers there is nothing to switch.
    if force is Force.UNSEEN and live.traffic.edges():
        found += edges_waived(frozenset(live.traffic.unreachable), force)
        silent = []
    return (*silent, *ready), found


def _unknown(site: Site, live: LiveState, held: Release, slot: str) -> list[Problem]:
    """Return the replicas whose slot would be sent requests, or has another checkpoint loaded."""
    wanted = held.slots.get(slot, "")
    problems = []
    for node in replicas(site, held.endpoint):
        facts = live.nodes.get(node.name)
        seen = facts.slots.get(slot) if facts else None
        # A server that is down has nothing; what it loads once it is up is what is pinned there.
        has = seen.checkpoint or seen.pinned if seen is not None else ""
        is_other = seen is not None and has != wanted
        is_proven = seen is not None and seen.state == "ADMITTED" and not is_other
        is_up = any(s.could_serve for s in live.traffic.of(node.name) if s.slot == slot)
        if is_other or (is_up and not is_proven):
            said = f"has {has or 'nothing'}" if seen is not None else "does not say what it has"
            problems.append(
                Problem(
                    "SLOT_NOT_READY",
                    f"slot {slot} {said}, not surely {wanted}",
                    node.name,
                    f"no level of force waives that; `permafrost drain {node.name}` first",
                )
            )
    return problems
