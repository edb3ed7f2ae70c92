"""Ask everything at once; whoever does not answer is part of the answer."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from permafrost.engine.state import StateStore
from permafrost.errors import PermafrostError, Problem
from permafrost.facts import NodeFacts
from permafrost.planning.live import LiveState
from permafrost.planning.snapshot import Inventory
from permafrost.ports import Hypervisor, ModelServer, TrafficDirector
from permafrost.topology import Node, Tier

AT_ONCE = 16


def observe(
    nodes: Iterable[Node],
    *,
    hypervisor: Hypervisor,
    traffic: TrafficDirector,
    models: ModelServer,
    store: StateStore,
) -> LiveState:
    """Return one snapshot of vCenter, every edge and the given inference nodes.

    Whoever does not answer is listed with the reason: a site goes on serving without its vCenter.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        inventory = pool.submit(_inventory, hypervisor)
        seen = observe_serving(nodes, traffic=traffic, models=models, store=store)
        found, blind = inventory.result()
    return replace(seen, inventory=found, blind=blind)


def observe_serving(
    nodes: Iterable[Node], *, traffic: TrafficDirector, models: ModelServer, store: StateStore
) -> LiveState:
    """Return one snapshot of every edge and the given inference nodes.

    vCenter is not asked: nothing may be concluded of VMs and hosts.
    """
    asked = [n.name for n in nodes if n.tier is Tier.INFERENCE]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        flows = pool.submit(traffic.observe)
        answers = list(pool.map(lambda name: _state(models, name), asked))
        return LiveState(
            traffic=flows.result(),
            nodes={a.node: a for a in answers if isinstance(a, NodeFacts)},
            silent={n: a for n, a in zip(asked, answers, strict=True) if isinstance(a, str)},
            declared=store.declared(),
        )


def observe_machines(hypervisor: Hypervisor) -> LiveState:
    """Return a snapshot of vCenter alone."""
    inventory, blind = _inventory(hypervisor)
    return LiveState(inventory=inventory, blind=blind)


def _inventory(hypervisor: Hypervisor) -> tuple[Inventory, tuple[Problem, ...]]:
    try:
        return hypervisor.observe(), ()
    except PermafrostError as error:
        return Inventory(), error.problems


def _state(models: ModelServer, node: str) -> NodeFacts | str:
    try:
        return models.state(node)
    except PermafrostError as error:
        return error.problems[0].message
