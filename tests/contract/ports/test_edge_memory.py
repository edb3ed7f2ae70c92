"""What an edge keeps of what it was told, with a real HAProxy that is reloaded and restarted."""

from __future__ import annotations

import hashlib
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from permafrost.adapters.haproxy import HaproxyRuntime
from permafrost.adapters.ssh import CommandResult
from permafrost.errors import Failed
from permafrost.facts import ServerState
from tests.contract.ports.haproxy import Edge, LocalShell, running_edge

ONE, TWO = "lab-chat-01", "lab-chat-02"
COMMAND = ("sudo", "-n", "/usr/local/sbin/permafrost-haproxy")


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    if shutil.which("haproxy") is None:
        pytest.fail("this suite needs HAProxy: scripts/bootstrap.sh installs it")
    with running_edge(tmp_path, (ONE, TWO)) as found:
        yield found


@pytest.fixture
def director(edge: Edge, tmp_path: Path) -> HaproxyRuntime:
    found = HaproxyRuntime(["lab-edge-01"], LocalShell(tmp_path), vip="127.0.0.1")
    soon(lambda: found.observe().serves(ONE) and found.observe().serves(TWO))
    return found


def soon(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end, "not within 15 s"
        time.sleep(0.02)


def restart(edge: Edge) -> None:
    edge.stop()
    edge.start()


def reload(edge: Edge) -> None:
    edge.reload()


AGAIN = pytest.mark.parametrize("again", [reload, restart])


@AGAIN
def test_a_drain_is_kept(edge: Edge, director: HaproxyRuntime, again: Callable[..., None]) -> None:
    director.set_state(ONE, ServerState.DRAIN)
    for _ in range(2):
        again(edge)
        traffic = director.observe()
        assert traffic.keeps_away(ONE)
        soon(lambda: director.observe().serves(TWO))
        director.set_state(ONE, ServerState.DRAIN)  # told once more: the same again


@AGAIN
def test_control_told_to_haproxy_alone_it_is_forgotten(
    edge: Edge, director: HaproxyRuntime, tmp_path: Path, again: Callable[..., None]
) -> None:
    said = LocalShell(tmp_path).run(
        "lab-edge-01", COMMAND, stdin=f"set server chat_a/{ONE} state drain\n"
    )
    assert said.status == 0
    assert not director.observe().serves(ONE)
    again(edge)
    soon(lambda: director.observe().serves(ONE))


def test_edges_that_fail_are_all_named_and_keep_nothing_from_the_others(
    director: HaproxyRuntime, tmp_path: Path
) -> None:
    class OneAnswers(LocalShell):
        def run(
            self, node: str, argv: Sequence[str], *, stdin: str = "", deadline_s: float = 30
        ) -> CommandResult:
            if node != "lab-edge-01":
                return CommandResult(1, "", "no such file")
            return super().run(node, argv, stdin=stdin, deadline_s=deadline_s)

    every = HaproxyRuntime(["lab-edge-00", "lab-edge-01", "lab-edge-02"], OneAnswers(tmp_path))
    with pytest.raises(Failed) as caught:
        every.set_state(ONE, ServerState.DRAIN)
    told = {(p.code, p.path) for p in caught.value.problems}
    assert told == {("EDGE_NOT_SERVING", "lab-edge-00"), ("EDGE_NOT_SERVING", "lab-edge-02")}
    assert director.observe().keeps_away(ONE)


@AGAIN
def test_who_came_back_stays_back(
    edge: Edge, director: HaproxyRuntime, again: Callable[..., None]
) -> None:
    director.set_state(ONE, ServerState.DRAIN)
    again(edge)
    director.set_state(ONE, ServerState.READY)
    soon(lambda: director.observe().serves(ONE))
    again(edge)
    soon(lambda: director.observe().serves(ONE))
    assert not director.observe().keeps_away(ONE)


def test_what_an_old_worker_has_open_is_in_flight(edge: Edge, director: HaproxyRuntime) -> None:
    for _ in range(4):
        edge.ask()
    soon(lambda: director.observe().in_flight(ONE) == 2)
    reload(edge)
    director.set_state(ONE, ServerState.DRAIN)
    assert director.observe().in_flight(ONE) == 2
    edge.let_go()
    soon(lambda: director.observe().in_flight(ONE) == 0)


def open_stream(edge: Edge) -> socket.socket:
    """Begin a request that is never finished, as a stream that may go on does."""
    client = socket.create_connection(("127.0.0.1", edge.port), timeout=10)
    client.sendall(
        b"POST /v2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    )
    return client


def test_only_streams_that_wait_for_more_are_ended(edge: Edge, director: HaproxyRuntime) -> None:
    director.set_state(TWO, ServerState.DRAIN)
    waiting = open_stream(edge)
    edge.ask()  # a whole request whose answer is not there yet: work, however long it takes
    soon(lambda: director.observe().in_flight(ONE) == 2)
    assert sorted(stream.is_held for stream in director.streams(ONE)) == [False, True]
    seen = director.streams(ONE)
    waiting.sendall(b"3\r\nabc\r\n")
    soon(lambda: set(director.streams(ONE)) != set(seen))
    assert director.end_streams(seen) == 0, "it goes on"
    assert director.end_streams(director.streams(ONE, slot="b")) == 0
    assert director.end_streams(director.streams(ONE)) == 1
    soon(lambda: director.observe().in_flight(ONE) == 1)
    waiting.close()
    assert director.end_all(ONE).ended == 1
    soon(lambda: director.observe().in_flight(ONE) == 0)


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest().upper()


def test_keys_are_known_at_once_and_after_each_start(edge: Edge, director: HaproxyRuntime) -> None:
    director.set_clients({digest("pf-one"): "shop:0", digest("pf-two"): "desk:99"})
    assert edge.who("pf-one") == "shop:0"
    for again in (reload, restart):
        again(edge)
        assert (edge.who("pf-one"), edge.who("pf-three")) == ("shop:0", "-")
    director.set_clients({digest("pf-two"): "desk:100", digest("pf-three"): "new:0"})
    assert [edge.who(f"pf-{n}") for n in ("one", "two", "three")] == ["-", "desk:100", "new:0"]


def test_the_address_is_seen_where_it_stands(director: HaproxyRuntime) -> None:
    assert director.observe().vip_holders == {"lab-edge-01"}
