"""Drain and undrain over a simulated site."""

from __future__ import annotations

import os
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from permafrost.engine.holder import Holder
from permafrost.engine.state import DeclaredState, Phase
from permafrost.errors import Failed, Held, Refused
from permafrost.facts import ServerState
from permafrost.planning.lifecycle import ReplicaState
from permafrost.runbook import turns
from permafrost.runbook.admit import admit_replica
from permafrost.runbook.context import Context
from permafrost.runbook.drain import drain_replica, preview_drain
from permafrost.runbook.edges import reassert_drains
from permafrost.runbook.looking import look_to_drain
from permafrost.runbook.status import read_status
from permafrost.runbook.turns import await_turn
from permafrost.runbook.undrain import undrain_replica
from permafrost.topology import Node, nodes
from tests.fakes.site import context, small_site
from tests.fakes.world import World, WorldClock

ONE, TWO, THREE = "lab-chat-01", "lab-chat-02", "lab-chat-03"
ME = "operator:me"


def state_of(ctx: Context, name: str) -> ReplicaState:
    return next(r.state for e in read_status(ctx).endpoints for r in e.replicas if r.name == name)


def test_a_drain_ends_with_nothing_in_flight(ctx: Context, world: World) -> None:
    world.pass_time(0.5)
    assert world.machines[ONE].requests
    evidence = drain_replica(ctx, ONE, owner=ME)
    assert evidence.in_flight == 0
    assert evidence.in_flight_before == 1
    assert evidence.served_by == (TWO, THREE)
    assert world.machines[ONE].requests == []
    assert state_of(ctx, ONE) is ReplicaState.DRAINED


def test_intent_stands_before_the_first_effect(ctx: Context, world: World) -> None:
    seen: list[tuple[str, Phase]] = []
    world.watchers.append(
        lambda *_: seen.append([(e.kind, e.phase) for e in ctx.store.journal()][-1])
    )
    drain_replica(ctx, ONE, owner=ME)
    assert seen == [("set-edges-to-drain", Phase.INTENT)]
    kinds = [e.kind for e in ctx.store.journal() if e.phase is Phase.DONE]
    assert kinds == ["declare-draining", "set-edges-to-drain", "await-idle", "declare-drained"]


def test_a_second_drain_changes_nothing(ctx: Context, world: World) -> None:
    drain_replica(ctx, ONE, owner=ME)
    done = list(world.effects)
    evidence = drain_replica(ctx, ONE, owner=ME)
    assert not evidence.changed
    assert evidence.state == "DRAINED"
    assert world.effects == done


def test_below_min_ready_is_refused_and_says_who_is_away(ctx: Context, world: World) -> None:
    drain_replica(ctx, ONE, owner=ME, reason="firmware")
    done = list(world.effects)
    with pytest.raises(Refused, match="DRAIN_BELOW_MIN_READY") as caught:
        drain_replica(ctx, TWO, owner=ME)
    assert ONE in str(caught.value)
    assert "firmware" in str(caught.value)
    assert world.effects == done
    assert state_of(ctx, TWO) is ReplicaState.ADMITTED


def test_a_replica_that_serves_nobody_may_be_drained(ctx: Context, world: World) -> None:
    world.power_off(ONE)
    world.power_off(TWO)
    assert drain_replica(ctx, TWO, owner=ME).state == "DRAINED"


def test_a_lost_machine_has_nothing_in_flight(ctx: Context, world: World) -> None:
    world.power_off(ONE)
    assert "off" in drain_replica(ctx, ONE, owner=ME).note


def test_requests_that_never_end_leave_it_draining(ctx: Context, world: World) -> None:
    world.request_s = 1e9
    world.pass_time(1)
    with pytest.raises(Failed, match="DRAIN_DEADLINE") as caught:
        drain_replica(ctx, ONE, owner=ME)
    assert "undrain" in str(caught.value)
    assert state_of(ctx, ONE) is ReplicaState.DRAINING
    assert world.edge_state["lab-edge-01", ONE] is ServerState.DRAIN
    world.machines[ONE].requests.clear()
    assert drain_replica(ctx, ONE, owner=ME).changed


def test_undrain_goes_through_the_probe(ctx: Context, world: World) -> None:
    drain_replica(ctx, ONE, owner=ME)
    world.machines[ONE].passes_probe = False
    with pytest.raises(Failed, match="PROBE_FAILED"):
        undrain_replica(ctx, ONE, owner=ME)
    assert world.edge_state["lab-edge-01", ONE] is ServerState.DRAIN
    assert state_of(ctx, ONE) is ReplicaState.DRAINED
    world.machines[ONE].passes_probe = True
    assert undrain_replica(ctx, ONE, owner=ME).changed
    assert state_of(ctx, ONE) is ReplicaState.ADMITTED
    assert not undrain_replica(ctx, ONE, owner=ME).changed


def test_another_checkpoint_is_not_admitted(ctx: Context, world: World) -> None:
    drain_replica(ctx, ONE, owner=ME)
    world.machines[ONE].checkpoint = "sha256:" + "0" * 64
    with pytest.raises(Failed, match="CHECKPOINT_DIGEST_MISMATCH"):
        undrain_replica(ctx, ONE, owner=ME)
    assert not world.takes_requests(ONE)


def test_undrain_after_a_power_cycle_waits_for_the_boot(ctx: Context, world: World) -> None:
    drain_replica(ctx, ONE, owner=ME)
    world.power_off(ONE)
    with pytest.raises(Refused, match="REPLICA_NOT_RUNNING"):
        undrain_replica(ctx, ONE, owner=ME)
    world.power_on(ONE, boot_s=20)
    undrain_replica(ctx, ONE, owner=ME)
    assert world.takes_requests(ONE)


def test_a_server_that_never_starts_is_told_within_its_deadline(
    ctx: Context, world: World
) -> None:
    drain_replica(ctx, ONE, owner=ME)
    world.machines[ONE].state = "STARTING"
    began = world.seconds
    with pytest.raises(Failed, match="NODE_NOT_READY"):
        undrain_replica(ctx, ONE, owner=ME)
    assert world.seconds - began < 190
    assert not world.takes_requests(ONE)


def test_an_edge_that_does_not_answer_is_a_failure(ctx: Context, world: World) -> None:
    world.edges_down.add("lab-edge-01")
    with pytest.raises(Failed, match="EDGE_UNREACHABLE"):
        drain_replica(ctx, ONE, owner=ME)
    world.edges_down.clear()
    assert drain_replica(ctx, ONE, owner=ME).state == "DRAINED"


def test_streams_that_only_wait_are_ended_and_counted(ctx: Context, world: World) -> None:
    world.machines[ONE].idle_streams = 3
    evidence = drain_replica(ctx, ONE, owner=ME)
    assert (evidence.state, evidence.idle_streams_ended, evidence.cut) == ("DRAINED", 3, 0)
    assert world.seconds >= ctx.site.inference["chat"].drain_idle_stream_s


def test_streams_that_are_used_are_not_ended(ctx: Context, world: World) -> None:
    class Talking(WorldClock):
        """Lets a message pass on each stream while the drain waits."""

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            world.machines[ONE].stream_bytes += 1

    world.machines[ONE].idle_streams = 3
    ctx.clock = Talking(world)
    with pytest.raises(Failed, match="3 of them streams that clients hold open"):
        drain_replica(ctx, ONE, owner=ME)
    assert world.machines[ONE].idle_streams == 3


def test_streams_are_not_ended_while_the_server_works(ctx: Context, world: World) -> None:
    world.request_s = 1e9
    world.pass_time(1)
    world.machines[ONE].idle_streams = 2
    assert preview_drain(ctx, ONE, owner=ME)[0].held_open == 2
    with pytest.raises(Failed, match="1 at the model server; 2 of them streams"):
        drain_replica(ctx, ONE, owner=ME)
    assert world.machines[ONE].idle_streams == 2
    world.machines[ONE].requests.clear()
    evidence = drain_replica(ctx, ONE, owner=ME)
    assert (evidence.idle_streams_ended, evidence.cut) == (2, 0)


def test_at_the_deadline_a_person_may_cut(ctx: Context, world: World) -> None:
    world.request_s = 1e9
    world.pass_time(2)
    with pytest.raises(Failed, match="DRAIN_DEADLINE") as caught:
        drain_replica(ctx, ONE, owner=ME, deadline_s=5)
    assert "--cut" in caught.value.problems[0].hint
    assert ctx.store.declared()[ONE].deadline
    evidence = drain_replica(ctx, ONE, owner=ME, deadline_s=1, cut=True)
    assert (evidence.state, evidence.cut) == ("DRAINED", 1)


def test_with_one_of_two_edges_lost_a_drain_goes_on(tmp_path: Path) -> None:
    site = small_site()
    edge = site.edge.model_copy(update={"nodes": 2, "vip": IPv4Address("10.64.1.10")})
    world = World.of(site.model_copy(update={"edge": edge}))
    ctx = context(tmp_path / "state", world)
    assert read_status(ctx).as_dict()["vip"] == {
        "address": "10.64.1.10",
        "holders": ["lab-edge-01"],
    }
    world.power_off("lab-edge-02")
    assert "lab-edge-02 is off" in drain_replica(ctx, ONE, owner=ME).note
    assert world.edge_state["lab-edge-01", ONE] is ServerState.DRAIN
    assert world.edge_state["lab-edge-02", ONE] is ServerState.READY
    world.power_on("lab-edge-02", boot_s=1)
    world.pass_time(2)
    assert reassert_drains(ctx) == (ONE,)
    assert world.edge_state["lab-edge-02", ONE] is ServerState.DRAIN
    world.power_off("lab-edge-01")
    undrain_replica(ctx, ONE, owner=ME)
    assert world.edge_state["lab-edge-02", ONE] is ServerState.READY


def test_an_edge_that_is_off_sends_nobody_anything(ctx: Context, world: World) -> None:
    world.power_off("lab-edge-01")
    assert "lab-edge-01 is off" in drain_replica(ctx, ONE, owner=ME).note


def test_a_reloaded_edge_is_told_again(ctx: Context, world: World) -> None:
    drain_replica(ctx, ONE, owner=ME)
    world.edge_state["lab-edge-01", ONE] = ServerState.READY
    assert reassert_drains(ctx) == (ONE,)
    assert world.edge_state["lab-edge-01", ONE] is ServerState.DRAIN


def test_another_operation_holds_the_site(ctx: Context, world: World) -> None:
    with ctx.store.lock.held("deploy"), pytest.raises(Held, match="deploy"):
        drain_replica(ctx, ONE, owner=ME)
    assert world.effects == []


def test_programs_take_one_replica_at_a_time(tmp_path: Path) -> None:
    world = World.of(small_site(chat={"replicas": 3, "min_ready": 1}))
    ctx = context(tmp_path / "state", world)
    await_turn(ctx, ONE, "pulumi")
    with pytest.raises(Refused, match=ONE):
        await_turn(ctx, TWO, "pulumi", deadline_s=10)
    assert drain_replica(ctx, THREE, owner=ME).state == "DRAINED", "a person may: two still serve"


def test_a_turn_comes_when_the_other_is_back(ctx: Context, world: World) -> None:
    await_turn(ctx, ONE, "pulumi")
    drain_replica(ctx, ONE, owner="pulumi")

    class Back:
        """Brings the first one back while the second waits."""

        def monotonic(self) -> float:
            return world.seconds

        def sleep(self, seconds: float) -> None:
            world.pass_time(seconds)
            if world.seconds > 30 and ctx.store.declared()[ONE].is_away:
                world.watchers.append(lambda *_: None)
                ctx.clock = real
                admit_replica(ctx, ONE, owner="pulumi")

    real = ctx.clock
    ctx.clock = Back()  # type: ignore[assignment]
    await_turn(ctx, TWO, "pulumi")
    assert ctx.store.declared()[TWO].state is DeclaredState.DRAINING
    assert ctx.store.declared()[ONE].state is DeclaredState.ADMITTED


def test_who_waits_for_a_turn_looks_once_while_durable_state_says_no(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many wait at once: looking each time takes from the one whose turn it is."""
    looks = []

    def look(ctx: Context, node: Node, **more: Any) -> Any:
        looks.append(world.seconds)
        return look_to_drain(ctx, node, **more)

    monkeypatch.setattr(turns, "look_to_drain", look)
    await_turn(ctx, ONE, "pulumi")
    looks.clear()
    with pytest.raises(Refused, match=f"DRAIN_BELOW_MIN_READY.*{ONE}"):
        await_turn(ctx, TWO, "pulumi", deadline_s=60)
    assert len(looks) == 1
    assert world.seconds >= looks[0] + 60
    admit_replica(ctx, ONE, owner="pulumi")
    await_turn(ctx, TWO, "pulumi", deadline_s=60)
    assert len(looks) == 2
    assert ctx.store.declared()[TWO].state is DeclaredState.DRAINING


def test_a_person_keeps_what_they_drained(ctx: Context, world: World) -> None:
    drain_replica(ctx, ONE, owner=ME, reason="fan")
    await_turn(ctx, ONE, "pulumi")
    drain_replica(ctx, ONE, owner="pulumi")
    assert ctx.store.declared()[ONE].owner == ME


def away_by_another_process(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drain ONE as a program that lives on: the one that started these tests."""
    with monkeypatch.context() as patch:
        patch.setattr(Holder, "me", lambda: Holder.of_process(os.getppid()))
        drain_replica(ctx, ONE, owner="pulumi", reason="its VM")


def test_what_a_program_is_at_work_on_no_person_brings_back(
    ctx: Context, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    away_by_another_process(ctx, monkeypatch)
    with pytest.raises(Held, match="REPLICA_HELD"):
        undrain_replica(ctx, ONE, owner=ME)
    assert not world.takes_requests(ONE)
    monkeypatch.setattr(Holder, "is_alive", lambda _: False)
    undrain_replica(ctx, ONE, owner=ME)
    assert world.takes_requests(ONE)


def test_a_person_may_keep_away_what_a_program_drained(ctx: Context, world: World) -> None:
    drain_replica(ctx, ONE, owner="pulumi", reason="its VM")
    evidence = drain_replica(ctx, ONE, owner=ME, reason="fan")
    assert evidence.changed
    assert "its VM" in evidence.note
    assert "fan" in admit_replica(ctx, ONE, owner="pulumi").note
    assert not world.takes_requests(ONE)


def test_a_new_replica_has_nothing_to_drain(tmp_path: Path, world: World) -> None:
    ctx = context(tmp_path / "state", world, is_deployed=False)
    for machine in world.machines.values():
        machine.state = "STARTING"
    assert not drain_replica(ctx, ONE, owner="pulumi").changed
    assert ctx.store.declared() == {}


def test_status_of_a_whole_site(ctx: Context, world: World) -> None:
    status = read_status(ctx).as_dict()
    assert status["healthy"]
    assert status["schema"] == 1
    chat = status["endpoints"][0]
    assert chat["address"] == "10.64.1.20:8443"
    assert chat["live_checkpoint"] == "sha256:" + "a" * 64
    first = chat["replicas"][0]
    assert first.pop("declared")["owner"] == "deploy"
    assert first == {
        "name": ONE,
        "state": "ADMITTED",
        "host": "lab-esx-01",
        "gpu": "0000:3b:00.0",
        "checkpoint": "sha256:" + "a" * 64,
        "in_flight": 0,
        "reason": "",
    }
    world.hosts["lab-esx-02"] = world.hosts["lab-esx-02"].__class__(
        "lab-esx-02", "host-2", False, False, world.hosts["lab-esx-02"].gpus
    )
    after = read_status(ctx)
    assert not after.is_healthy
    assert {r.name: r.state for e in after.endpoints for r in e.replicas}[TWO] is ReplicaState.LOST
    keeps = {host.name: host.keeps for host in after.hosts}
    assert keeps["lab-esx-01"] == {"chat": 1, "pulse": 1, "edge": 0}


def test_a_site_is_worked_with_while_its_vcenter_is_down(ctx: Context, world: World) -> None:
    world.vcenter_down = True
    status = read_status(ctx)
    assert status.is_healthy
    assert status.as_dict()["vcenter"] == {"state": "DOWN", "reason": "vcenter does not answer"}
    assert drain_replica(ctx, ONE, owner=ME).state == "DRAINED"
    undrain_replica(ctx, ONE, owner=ME)
    assert world.takes_requests(ONE)


def test_nodes_of_the_fakes_are_the_sites(world: World) -> None:
    assert set(world.machines) == {n.name for n in nodes(world.site)}
