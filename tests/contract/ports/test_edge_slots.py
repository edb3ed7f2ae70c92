"""Which slot answers: told to a fake and to a real HAProxy, which is reloaded and restarted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from permafrost.adapters.haproxy import HaproxyRuntime
from permafrost.adapters.ssh import CommandResult
from permafrost.errors import Failed, Problem
from permafrost.ports import TrafficDirector
from tests.contract.ports.haproxy import Edge, LocalShell, running_edge
from tests.contract.ports.test_edge_memory import AGAIN, ONE, TWO, reload, soon
from tests.fakes.machine import Beside
from tests.fakes.site import small_site
from tests.fakes.traffic_director import FakeTrafficDirector
from tests.fakes.world import World

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
TO_A = {"chat": "a", f"chat@{OLD}": "a"}
TO_B = {"chat": "b", f"chat@{OLD}": "a", f"chat@{NEW}": "b"}
GONE = "lab-edge-02"
COMMAND = ("sudo", "-n", "/usr/local/sbin/permafrost-haproxy")


@dataclass
class Bench:
    """A director whose edges have both slots up, and what there is behind it."""

    director: TrafficDirector
    edge: Edge | None = None


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    if shutil.which("haproxy") is None:
        pytest.fail("this suite needs HAProxy: scripts/bootstrap.sh installs it")
    with running_edge(tmp_path, (ONE, TWO), slots="ab") as found:
        yield found


@pytest.fixture
def real(edge: Edge, tmp_path: Path) -> HaproxyRuntime:
    found = HaproxyRuntime(["lab-edge-01"], LocalShell(tmp_path))
    soon(lambda: found.observe().can_serve(ONE, "a") and found.observe().can_serve(TWO, "b"))
    return found


@pytest.fixture(params=["fake", "real"])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "real":
        real = request.getfixturevalue("real")
        return Bench(real, request.getfixturevalue("edge"))
    world = World.of(small_site())
    for name in (ONE, TWO):
        world.machines[name].beside = Beside(NEW, "ADMITTED")
    return Bench(FakeTrafficDirector(world))


def test_all_edges_route_as_they_are_told_and_back(bench: Bench) -> None:
    director = bench.director
    for wanted, live, rests in ((TO_A, "a", "b"), (TO_B, "b", "a"), (TO_A, "a", "b")):
        director.set_routes(wanted)
        traffic = director.observe()
        assert traffic.routes_as(wanted) == traffic.edges() != frozenset()
        assert set(traffic.live_slots("chat").values()) == {live}
        servers = {s.slot: s for s in traffic.of(ONE)}
        assert (servers[live].is_live, servers[rests].is_live) == (True, False)
        assert traffic.serves(ONE)
        assert traffic.can_serve(ONE, rests), "it could, and is not asked"
        director.set_routes(wanted)  # told once more: the same again


def test_a_request_that_is_open_stays_where_it_is(edge: Edge, real: HaproxyRuntime) -> None:
    edge.ask()
    soon(lambda: sum(real.observe().in_flight(n, "a") for n in (ONE, TWO)) == 1)
    real.set_routes(TO_B)
    assert edge.slot() == "b"
    edge.ask()
    soon(lambda: sum(real.observe().in_flight(n, "b") for n in (ONE, TWO)) == 1)
    assert sum(real.observe().in_flight(n, "a") for n in (ONE, TWO)) == 1
    edge.let_go()


@AGAIN
def test_a_reload_and_a_restart_begin_with_the_slot_that_was_told(
    edge: Edge, real: HaproxyRuntime, again: Callable[..., None]
) -> None:
    real.set_routes(TO_B)
    again(edge)
    assert edge.slot() == "b"
    assert real.observe().routes_as(TO_B) == {"lab-edge-01"}


def test_control_told_to_the_runtime_alone_a_reload_brings_the_old_slot_back(
    edge: Edge, real: HaproxyRuntime, tmp_path: Path
) -> None:
    real.set_routes(TO_A)
    told = f"set map {tmp_path}/slots.map chat b\n"
    assert LocalShell(tmp_path).run("lab-edge-01", COMMAND, stdin=told).status == 0
    assert edge.slot() == "b"
    assert real.observe().routes_as(TO_B) == frozenset(), "and it is seen that it will not last"
    reload(edge)
    assert edge.slot() == "a"


def test_between_file_and_runtime_a_reload_goes_forward(
    edge: Edge, real: HaproxyRuntime, tmp_path: Path
) -> None:
    """Killed between the two: the file is first, so whatever comes brings the new slot."""
    lines = "".join(f"{key} {slot}\n" for key, slot in sorted(TO_B.items()))
    (tmp_path / "slots.map").write_text(lines, encoding="ascii")
    assert edge.slot() == "a"
    reload(edge)
    assert edge.slot() == "b"
    real.set_routes(TO_B)
    assert real.observe().routes_as(TO_B) == {"lab-edge-01"}


class Asked(LocalShell):
    """Keeps what each edge was asked; one does not answer, and one may be of an older release."""

    def __init__(self, folder: Path, *, is_older: bool = False) -> None:
        super().__init__(folder)
        self.asked: list[tuple[str, str]] = []
        self.is_older = is_older

    def run(
        self, node: str, argv: Sequence[str], *, stdin: str = "", deadline_s: float = 30
    ) -> CommandResult:
        self.asked.append((node, argv[3]))
        if node == GONE:
            raise Failed(Problem("NODE_UNREACHABLE", "no route", node, "switch it on"))
        done = super().run(node, argv, stdin=stdin, deadline_s=deadline_s)
        if not (self.is_older and argv[3] == "--slots"):
            return done
        said = {k: v for k, v in json.loads(done.stdout).items() if k != "observed"}
        return replace(done, stdout=json.dumps(said))


@pytest.mark.parametrize("is_older", [False, True])
def test_an_edge_that_is_told_says_in_the_same_answer_how_it_routes(
    is_older: bool, real: HaproxyRuntime, tmp_path: Path
) -> None:
    shell = Asked(tmp_path, is_older=is_older)
    HaproxyRuntime(["lab-edge-01"], shell).set_routes(TO_B)
    assert [what for _, what in shell.asked] == ["--slots", *["--observe"] * is_older]
    assert real.observe().routes_as(TO_B) == {"lab-edge-01"}


def test_an_edge_that_cannot_be_told_keeps_no_other_from_it(
    edge: Edge, real: HaproxyRuntime, tmp_path: Path
) -> None:
    shell = Asked(tmp_path)
    with pytest.raises(Failed, match="no route") as caught:
        HaproxyRuntime([GONE, "lab-edge-01"], shell).set_routes(TO_B)
    assert [p.path for p in caught.value.problems] == [GONE]
    assert edge.slot() == "b"
    shell.asked.clear()
    HaproxyRuntime([GONE, "lab-edge-01"], shell).set_routes(TO_A, but=frozenset({GONE}))
    assert {edge for edge, _ in shell.asked} == {"lab-edge-01"}


def test_a_node_is_not_asked_what_its_service_may_not_see(edge: Edge, tmp_path: Path) -> None:
    """Its balancer is told which checkpoint a slot has; to list addresses is not allowed there."""
    told = json.dumps({"a": OLD, "b": NEW})
    done = LocalShell(tmp_path).run("lab-chat-01", [*COMMAND, "--slots"], stdin=told)
    assert json.loads(done.stdout).keys() == {"slots", "changed"}


def test_words_that_are_none_are_refused(edge: Edge, real: HaproxyRuntime) -> None:
    with pytest.raises(Failed):
        real.set_routes({"chat": "c"})
    assert edge.slot() == "a"
