"""One suite for the traffic director: the fake and a real HAProxy behave alike."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from permafrost.adapters.haproxy import HaproxyRuntime
from permafrost.errors import Failed
from permafrost.facts import ServerState
from permafrost.ports import TrafficDirector
from tests.contract.ports.haproxy import LocalShell, running_edge
from tests.contract.ports.test_edge_memory import open_stream
from tests.fakes.site import small_site
from tests.fakes.traffic_director import FakeTrafficDirector
from tests.fakes.world import World

ONE, TWO = "lab-chat-01", "lab-chat-02"


class Bench:
    """What the suite needs of either side."""

    def __init__(
        self,
        director: TrafficDirector,
        begin: Callable[[], Any],
        end: Callable[[], Any],
        fail: Callable[[str], Any],
        hold: Callable[[], Any],
    ) -> None:
        self.director = director
        self.begin_requests = begin
        self.end_requests = end
        self.fail_check = fail
        self.hold_stream = hold


@pytest.fixture(params=["fake", "haproxy"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "fake":
        world = World.of(small_site(chat={"replicas": 2, "min_ready": 1}))
        world.request_s = 1e9
        yield Bench(
            FakeTrafficDirector(world),
            begin=lambda: world.pass_time(1),
            end=lambda: [m.requests.clear() for m in world.machines.values()],
            fail=lambda name: world.power_off(name),
            hold=lambda: setattr(world.machines[ONE], "idle_streams", 1),
        )
        return
    if shutil.which("haproxy") is None:
        pytest.fail("this suite needs HAProxy: scripts/bootstrap.sh installs it")
    with running_edge(tmp_path, (ONE, TWO)) as edge:

        def fail(name: str) -> None:
            edge.replicas[name].is_ready = False

        held = []
        yield Bench(
            HaproxyRuntime(["lab-edge-01"], LocalShell(tmp_path)),
            begin=lambda: [edge.ask() for _ in range(4)],
            end=edge.let_go,
            fail=fail,
            hold=lambda: held.append(open_stream(edge)),
        )


def soon(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "not within 10 s"
        time.sleep(0.02)


def admin(bench: Bench, name: str) -> set[ServerState]:
    return {s.admin for s in bench.director.observe().of(name)}


def test_all_serve_at_first(bench: Bench) -> None:
    for name in (ONE, TWO):
        soon(lambda name=name: bench.director.observe().serves(name))
    traffic = bench.director.observe()
    assert traffic.edges() == {"lab-edge-01"}
    assert traffic.unreachable == {}
    assert traffic.in_flight(ONE) == 0
    assert {s.backend for s in traffic.of(ONE) if s.is_live} == {"chat_a"}


def test_drain_takes_new_requests_away_and_leaves_old_ones(bench: Bench) -> None:
    soon(lambda: bench.director.observe().serves(ONE))
    bench.begin_requests()
    soon(lambda: bench.director.observe().in_flight(ONE) > 0)
    before = bench.director.observe().in_flight(ONE)
    bench.director.set_state(ONE, ServerState.DRAIN)
    bench.begin_requests()
    soon(lambda: bench.director.observe().in_flight(TWO) > before)
    traffic = bench.director.observe()
    assert not traffic.serves(ONE)
    assert traffic.in_flight(ONE) == before
    bench.end_requests()
    soon(lambda: bench.director.observe().in_flight(ONE) == 0)


def test_ready_brings_it_back(bench: Bench) -> None:
    seen = bench.director.set_state(ONE, ServerState.DRAIN)
    assert {s.admin for s in seen.of(ONE)} == {ServerState.DRAIN}
    assert seen.keeps_away(ONE)
    assert admin(bench, ONE) == {ServerState.DRAIN}
    bench.director.set_state(ONE, ServerState.READY)
    assert admin(bench, ONE) == {ServerState.READY}
    soon(lambda: bench.director.observe().serves(ONE))


def test_setting_twice_is_setting_once(bench: Bench) -> None:
    for _ in range(2):
        bench.director.set_state(ONE, ServerState.DRAIN)
        assert admin(bench, ONE) == {ServerState.DRAIN}


def test_a_replica_that_is_down_still_shows_that_it_was_drained(bench: Bench) -> None:
    bench.director.set_state(ONE, ServerState.DRAIN)
    bench.fail_check(ONE)
    soon(lambda: not any(s.is_up for s in bench.director.observe().of(ONE)))
    assert admin(bench, ONE) == {ServerState.DRAIN}


def test_a_failed_check_takes_it_out(bench: Bench) -> None:
    soon(lambda: bench.director.observe().serves(ONE))
    bench.fail_check(ONE)
    soon(lambda: not bench.director.observe().serves(ONE))
    assert bench.director.observe().serves(TWO)


def test_streams_that_clients_hold_open_are_told_from_work_and_ended(bench: Bench) -> None:
    soon(lambda: bench.director.observe().serves(ONE))
    bench.director.set_state(TWO, ServerState.DRAIN)
    bench.begin_requests()
    soon(lambda: len(bench.director.streams(ONE)) > 0)
    bench.hold_stream()
    soon(lambda: any(s.is_held for s in bench.director.streams(ONE)))
    soon(lambda: len(bench.director.streams(ONE)) == bench.director.observe().in_flight(ONE) > 1)
    seen = bench.director.streams(ONE)
    assert bench.director.streams(ONE, slot="b") == ()
    assert bench.director.end_streams(seen) == 1
    soon(lambda: set(bench.director.streams(ONE)) == {s for s in seen if not s.is_held})
    assert bench.director.end_streams(seen) == 0


def test_an_unknown_replica_is_said(bench: Bench) -> None:
    with pytest.raises(Failed, match="EDGE_KNOWS_NO_REPLICA"):
        bench.director.set_state("lab-chat-99", ServerState.DRAIN)
