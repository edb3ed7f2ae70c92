"""Ask everything at once; whoever does not answer is part of the answer."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from permafrost.engine.state import StateStore
from permafrost.errors import PermafrostError
from permafrost.planning.live import LiveState
from permafrost.ports import Hypervisor, ModelServer, NodeFacts, TrafficDirector
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

    vCenter must answer; edges and nodes that do not are listed as silent.
    """
    asked = [n.name for n in nodes if n.tier is Tier.INFERENCE]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        inventory = pool.submit(hypervisor.observe)
        flows = pool.submit(traffic.observe)
        answers = list(pool.map(lambda name: _state(models, name), asked))
        return LiveState(
            inventory=inventory.result(),
            traffic=flows.result(),
            nodes={a.node: a for a in answers if isinstance(a, NodeFacts)},
            silent={n: a for n, a in zip(asked, answers, strict=True) if isinstance(a, str)},
            declared=store.declared(),
        )


def _state(models: ModelServer, node: str) -> NodeFacts | str:
    try:
        return models.state(node)
    except PermafrostError as error:
        return error.problems[0].message
