"""Where the VMs stand: read from the record, planned only where the record lacks a node.

Only a confirmed ``permafrost deploy`` moves a recorded node; an ``up`` during maintenance moves
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from permafrost.errors import Problem, Refused
from permafrost.planning.addresses import moved_addresses
from permafrost.planning.placement import Placement, plan_placement
from permafrost.planning.unsupported import unsupported
from permafrost.topology import nodes
from permafrost.wiring import open_context

if TYPE_CHECKING:
    from permafrost.engine.state import StateStore
    from permafrost.site.load import LoadedSite


def placement_for(loaded: LoadedSite, store: StateStore, *, is_preview: bool) -> Placement:
    """Return a slot for each node of the site; record new ones unless this is a preview."""
    recorded = store.placement()
    if missing := unsupported(loaded.site):
        raise Refused(*missing)
    wanted = {node.name for node in nodes(loaded.site)}
    if wanted == recorded.keys():
        return recorded
    inventory = open_context(loaded.path).hypervisor.observe()
    if moved := moved_addresses(loaded.site, inventory.vms):
        raise Refused(*moved)
    if wanted < recorded.keys():
        return recorded
    planned = plan_placement(loaded.site, inventory.hosts, recorded, inventory.vms)
    refuse_moves(recorded, planned)
    if not is_preview:
        store.record_placement(planned)
    return planned


def refuse_moves(recorded: Placement, planned: Placement) -> None:
    """Raise Refused when a node that stands somewhere would stand elsewhere."""
    moved = [n for n in recorded.keys() & planned.keys() if recorded[n] != planned[n]]
    if moved:
        raise Refused(
            *(
                Problem(
                    "PLACEMENT_WOULD_MOVE",
                    f"would move from {recorded[node].host} to {planned[node].host}",
                    path=node,
                    hint="`permafrost deploy` shows such a plan and asks",
                )
                for node in sorted(moved)
            )
        )
