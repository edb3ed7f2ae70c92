"""May it be stopped, and what speaks against it: values in, a verdict out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from permafrost.errors import Problem, Refused
from permafrost.planning.lifecycle import (
    Declared,
    DeclaredState,
    MaintenanceRecord,
    MaintenanceState,
)
from permafrost.planning.live import LiveState
from permafrost.planning.ok_to_stop import ok_to_stop
from permafrost.planning.placement import Placement, Slot
from permafrost.planning.stop_verdict import Kind, Verdict
from permafrost.site.model import HostLabels
from tests.fakes.hypervisor import FakeHypervisor
from tests.fakes.model_server import FakeModelServer
from tests.fakes.site import small_site
from tests.fakes.traffic_director import FakeTrafficDirector
from tests.fakes.world import World

HOST, EDGE_HOST = "lab-esx-02", "lab-esx-01"


@pytest.fixture
def world() -> World:
    return World.of(small_site())


def see(world: World) -> LiveState:
    models = FakeModelServer(world)
    names = [name for name in world.machines if "edge" not in name and world.works(name)]
    return LiveState(
        inventory=FakeHypervisor(world).observe(),
        traffic=FakeTrafficDirector(world).observe(),
        nodes={name: models.state(name) for name in names},
        declared={n: Declared(n, DeclaredState.ADMITTED, "deploy") for n in names},
    )


def ask(world: World, kind: Kind, name: str, **more: Any) -> Verdict:
    live = more.pop("live", None) or see(world)
    recorded = more.pop("recorded", Placement())
    return ok_to_stop(world.site, live, kind, name, recorded=recorded, **more)


def codes(verdict: Verdict) -> list[str]:
    return [p.code for p in verdict.problems]


def record(host: str) -> MaintenanceRecord:
    return MaintenanceRecord(host, host, MaintenanceState.IN, "op", "operator:me", "now")


def test_a_host_that_nobody_misses(world: World) -> None:
    verdict = ask(world, Kind.HOST, HOST)
    assert verdict.is_ok
    assert verdict.stops == ("lab-chat-02", "lab-pulse-02")
    assert {e.name: e.serves for e in verdict.endpoints} == {
        "chat": ("lab-chat-01", "lab-chat-03"),
        "pulse": ("lab-pulse-01", "lab-pulse-03"),
    }


def test_what_the_rest_was_measured_to_carry_is_told_apart_from_what_is_promised(
    world: World,
) -> None:
    live = see(world)

    def busy(most: int) -> LiveState:
        backends = tuple(
            replace(
                b,
                servers=tuple(replace(s, in_flight=30, most_at_once=most) for s in b.servers),
            )
            for b in live.traffic.backends
        )
        return replace(live, traffic=replace(live.traffic, backends=backends))

    never_so_busy = ask(world, Kind.REPLICA, "lab-pulse-02", live=busy(41))
    left = never_so_busy.endpoints[0]
    in_all = 3 * busy(41).in_flight("lab-pulse-01")
    assert (left.in_flight, left.each_would_have, left.each_has_had) == (in_all, in_all // 2, 41)
    assert [p.code for p in never_so_busy.problems] == ["CAPACITY_TOO_SMALL"]
    assert "most that one of them was seen with is 41" in never_so_busy.notes[0]
    assert ask(world, Kind.REPLICA, "lab-pulse-02", live=busy(in_all)).notes == ()


def test_the_last_edge_goes_with_its_host_and_may_be_moved(world: World) -> None:
    verdict = ask(world, Kind.HOST, EDGE_HOST)
    assert codes(verdict) == ["LAST_EDGE"]
    assert verdict.movable == ("lab-edge-01",)


def test_one_that_is_missed(world: World) -> None:
    world.machines["lab-chat-03"].state = "OUT"
    verdict = ask(world, Kind.REPLICA, "lab-chat-01")
    assert codes(verdict) == ["BELOW_MIN_READY"]
    assert "lab-chat-03 is OUT" in verdict.problems[0].message
    assert ask(world, Kind.REPLICA, "lab-chat-03").is_ok, "it serves nobody"


def test_more_in_flight_than_the_rest_can_take(world: World) -> None:
    for name in ("lab-chat-01", "lab-chat-02", "lab-chat-03"):
        world.machines[name].requests = [9.0] * 2
    assert codes(ask(world, Kind.HOST, HOST)) == ["CAPACITY_TOO_SMALL"]


def test_another_host_is_away(world: World) -> None:
    assert codes(ask(world, Kind.HOST, HOST, records=[record("lab-esx-03")])) == [
        "OTHER_MAINTENANCE"
    ]
    assert ask(world, Kind.HOST, HOST, records=[record(HOST)]).is_ok
    assert codes(ask(world, Kind.VM, "lab-chat-02", records=[record("lab-esx-03")])) == [
        "OTHER_MAINTENANCE"
    ]


def closed(world: World, name: str, *, connected: bool = True) -> None:
    facts = replace(world.hosts[name], in_maintenance=True, connected=connected)
    world.hosts[name] = facts


@pytest.mark.parametrize(
    ("kind", "name"), [(Kind.HOST, HOST), (Kind.VM, "lab-pulse-02"), (Kind.REPLICA, "lab-chat-02")]
)
def test_a_closed_host_that_nobody_has_recorded_is_a_second_domain(
    world: World, kind: Kind, name: str
) -> None:
    closed(world, "lab-esx-03")
    (problem,) = ask(world, kind, name).problems
    assert (problem.code, problem.path) == ("HOST_CLOSED", "lab-esx-03")
    assert "`permafrost maintenance exit lab-esx-03`" in problem.hint


def test_closed_is_no_second_domain_where_it_is_recorded_asked_about_lost_or_empty(
    world: World,
) -> None:
    closed(world, "lab-esx-03")
    told = codes(ask(world, Kind.HOST, HOST, records=[record("lab-esx-03")]))
    assert told == ["OTHER_MAINTENANCE"]
    assert ask(world, Kind.HOST, "lab-esx-03").is_ok
    closed(world, "lab-esx-03", connected=False)
    assert "HOST_CLOSED" not in codes(ask(world, Kind.HOST, HOST))
    world.hosts["lab-esx-09"] = replace(world.hosts["lab-esx-01"], name="lab-esx-09", moid="h-9")
    closed(world, "lab-esx-09")
    assert "HOST_CLOSED" not in codes(ask(world, Kind.HOST, HOST)), "no VM of the site is there"


def test_who_stands_elsewhere_than_placed(world: World) -> None:
    recorded = Placement({"lab-chat-03": Slot("lab-esx-01", "host-1", ("0000:3b:00.0",))})
    verdict = ask(world, Kind.HOST, HOST, recorded=recorded)
    assert codes(verdict) == ["PLACEMENT_DRIFT"]
    assert verdict.problems[0].path == "lab-chat-03"


@pytest.mark.parametrize("what", ["vCenter itself", "the registry", "the orchestrator's own"])
@pytest.mark.parametrize(
    "known",
    [{"address": "10.64.1.1"}, {"address": "10.9.0.7", "addresses": ("10.9.0.7", "10.64.1.1")}],
    ids=["its first address", "another one of its addresses"],
)
def test_what_the_site_needs_stops_with_it(world: World, what: str, known: dict[str, Any]) -> None:
    live = see(world)
    machines = tuple(
        replace(vm, **known) if vm.name == "lab-chat-02" else vm for vm in live.inventory.vms
    )
    live = replace(live, inventory=replace(live.inventory, vms=machines))
    verdict = ask(world, Kind.HOST, HOST, live=live, services=[(what, "10.64.1.1")])
    assert codes(verdict) == ["SERVICE_STOPS"]
    assert what in verdict.problems[0].message
    assert ask(world, Kind.HOST, "lab-esx-03", live=live, services=[(what, "10.64.1.1")]).is_ok


def test_what_is_not_known_to_run_elsewhere_is_said(world: World) -> None:
    unknown = [("vCenter itself", "")]
    for kind, name in ((Kind.HOST, HOST), (Kind.VM, "lab-chat-02")):
        verdict = ask(world, kind, name, services=unknown)
        assert verdict.is_ok
        assert any("where vCenter itself runs is not known" in note for note in verdict.notes)
    assert ask(world, Kind.REPLICA, "lab-chat-02", services=unknown).notes == ()


def test_a_rack_is_what_the_site_file_says_and_vcenter_shows(world: World) -> None:
    with pytest.raises(Refused, match="RACK_UNKNOWN: lab-esx-02: it is a host"):
        ask(world, Kind.RACK, HOST)
    labels = {HOST: HostLabels(rack="a"), "lab-esx-2": HostLabels(rack="b")}
    world.site = world.site.model_copy(update={"hosts": labels})
    assert ask(world, Kind.RACK, "a").stops == ("lab-chat-02", "lab-pulse-02")
    # Its host's name is not written right: nothing on it was looked at.
    verdict = ask(world, Kind.RACK, "b")
    assert [(p.code, p.path) for p in verdict.problems] == [("HOST_UNKNOWN", "lab-esx-2")]


def test_without_vcenter_a_replica_is_judged_and_a_host_is_not(world: World) -> None:
    live = replace(see(world), blind=(Problem("VCENTER_UNREACHABLE", "no answer"),))
    assert ask(world, Kind.REPLICA, "lab-chat-01", live=live).is_ok
    with pytest.raises(Refused, match="VCENTER_UNREACHABLE"):
        ask(world, Kind.HOST, HOST, live=live)


@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_not_known_is_refused_with_the_known(world: World, kind: Kind) -> None:
    with pytest.raises(Refused, match="_UNKNOWN") as caught:
        ask(world, kind, "nothing")
    assert "lab-" in str(caught.value)
