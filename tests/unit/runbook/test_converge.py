"""Configuring nodes over a simulated site."""

from __future__ import annotations

from pathlib import Path

import pytest

from permafrost.engine.state import DeclaredState
from permafrost.errors import Refused
from permafrost.facts import ServerState
from permafrost.runbook.context import Context
from permafrost.runbook.converge import check_node, converge_node
from permafrost.runbook.drain import drain_replica
from tests.fakes.site import context
from tests.fakes.world import World

ONE, TWO, EDGE = "lab-chat-01", "lab-chat-02", "lab-edge-01"


def test_a_serving_replica_is_drained_configured_and_admitted(ctx: Context, world: World) -> None:
    evidence = converge_node(ctx, ONE)
    assert world.effects == [
        f"edge-drain {ONE}",
        f"configure {ONE}",
        f"probe {ONE}",
        f"edge-ready {ONE}",
    ]
    assert (evidence.changed, evidence.drained) == (1, True)
    assert ctx.store.declared()[ONE].state is DeclaredState.ADMITTED


@pytest.mark.parametrize("renew", [True, False])
def test_a_certificate_is_renewed_where_it_is_asked_for_and_nowhere_else(
    ctx: Context, world: World, renew: bool
) -> None:
    for name in (ONE, EDGE):
        converge_node(ctx, name, renew_certificate=renew)
    renewed = ctx.converger.renewed  # type: ignore[attr-defined]
    assert renewed == ([ONE, EDGE] if renew else [])


def test_a_renewal_that_is_refused_leaves_the_certificate(ctx: Context, world: World) -> None:
    drain_replica(ctx, TWO, owner="test", reason="away")
    with pytest.raises(Refused):
        converge_node(ctx, ONE, turn_deadline_s=0, renew_certificate=True)
    assert ctx.converger.renewed == []  # type: ignore[attr-defined]


def test_a_new_replica_is_configured_and_admitted(tmp_path: Path, world: World) -> None:
    ctx = context(tmp_path / "state", world, is_deployed=False)
    for machine in world.machines.values():
        machine.state = "STARTING"
    world.machines[ONE].boot_s = 0
    world.watchers.append(
        lambda what, name: (
            setattr(world.machines[name], "state", "OUT") if what == "configure" else None
        )
    )
    evidence = converge_node(ctx, ONE)
    assert world.effects == [f"configure {ONE}", f"probe {ONE}", f"edge-ready {ONE}"]
    assert not evidence.drained
    assert world.takes_requests(ONE)


def test_what_is_configured_already_is_only_admitted(ctx: Context, world: World) -> None:
    converge_node(ctx, ONE, vm="u1", fingerprint="f1")
    drain_replica(ctx, ONE, owner="pulumi")
    world.effects.clear()
    evidence = converge_node(ctx, ONE, vm="u1", fingerprint="f1")
    assert evidence.notes == ("configured already",)
    assert world.effects == [f"probe {ONE}", f"edge-ready {ONE}"]
    converge_node(ctx, ONE, vm="u2", fingerprint="f1")
    assert f"configure {ONE}" in world.effects


def test_an_edge_is_told_its_drains_again(ctx: Context, world: World) -> None:
    drain_replica(ctx, ONE, owner="operator:me")

    def forget(what: str, name: str) -> None:
        if what == "configure":
            world.edge_state[EDGE, ONE] = ServerState.READY

    world.watchers.append(forget)
    evidence = converge_node(ctx, EDGE)
    assert world.edge_state[EDGE, ONE] is ServerState.DRAIN
    assert evidence.notes == (f"set to drain again: {ONE}",)


def test_what_a_person_drained_is_configured_but_stays_away(ctx: Context, world: World) -> None:
    drain_replica(ctx, ONE, owner="operator:me", reason="fan")
    evidence = converge_node(ctx, ONE)
    assert f"configure {ONE}" in world.effects
    assert "fan" in evidence.notes[0]
    assert not world.takes_requests(ONE)


def test_it_waits_its_turn_and_refuses_in_the_end(ctx: Context, world: World) -> None:
    drain_replica(ctx, TWO, owner="operator:me")
    with pytest.raises(Refused, match=TWO):
        converge_node(ctx, ONE, turn_deadline_s=5)
    assert f"configure {ONE}" not in world.effects


def test_a_check_touches_nothing(ctx: Context, world: World) -> None:
    assert check_node(ctx, ONE).changed == 1
    assert world.effects == []
