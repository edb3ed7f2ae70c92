"""The program of a site whose machines do not exist: drains and convergence only declare.

Engine, program, hooks, provider, vCenter and the turns in durable state are the real ones. What
would speak to edges and nodes writes a line into the file of vCenter's power events instead.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.convergence import ConvergenceProvider
from infra.vm_hooks import OWNER, REASON
from permafrost.engine.state import DeclaredState, StateStore
from permafrost.engine.waiting import SystemClock, wait_until
from permafrost.planning.lookup import node_named
from permafrost.site.load import LoadedSite, load_site
from permafrost.topology import replicas

EVENTS, HURRIES = "STANDING_EVENTS", "STANDING_HURRIES"
TURN_S = 200.0
MAIN = """
from infra import program, vm_hooks
from infra.components import convergence
from tests.contract.program import standing

vm_hooks.drain_before_change = standing.drain
convergence.ConvergenceProvider = standing.Standing
program.deploy()
"""


class Standing(ConvergenceProvider):
    """Admits a node at once; when it has to, the product's own provider decides."""

    def work(self, olds: Mapping[str, Any], news: Mapping[str, Any]) -> None:
        """Admit the node."""
        del olds
        _admit(news)


def drain(site_path: Path, name: str, address: str) -> None:
    """Wait for the replica's turn as the product does, and declare it; nothing is in flight."""
    del address
    loaded = load_site(site_path)
    if HURRIES not in os.environ and not wait_until(
        lambda: _has_turn(loaded, name), clock=SystemClock(), deadline_s=TURN_S, every_s=0.2
    ):
        raise TimeoutError(f"the turn of {name} has not come")
    StateStore(loaded.state_dir).declare(name, DeclaredState.DRAINED, owner=OWNER)
    _note("drained", name)


def _has_turn(loaded: LoadedSite, name: str) -> bool:
    store = StateStore(loaded.state_dir)
    members = frozenset(
        n.name for n in replicas(loaded.site, node_named(loaded.site, name).endpoint)
    )
    away = {n for n, declared in store.declared().items() if declared.is_away}
    return not store.take_turn(
        name, members, floor=1, owner=OWNER, reason=REASON, serving=members - away
    )


def _admit(props: Mapping[str, Any]) -> None:
    loaded, name = load_site(Path(os.environ["PERMAFROST_SITE"])), str(props["node"])
    store = StateStore(loaded.state_dir)
    store.record_converged(name, str(props["vm"]), str(props["convergence"]))
    if node_named(loaded.site, name).endpoint:
        store.declare(name, DeclaredState.ADMITTED, owner=OWNER)
    _note("admitted", name)


def _note(verb: str, name: str) -> None:
    with Path(os.environ[EVENTS]).open("a", encoding="utf-8") as file:
        file.write(f"{verb} {name}\n")
