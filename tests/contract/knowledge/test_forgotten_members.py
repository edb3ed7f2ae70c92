"""Members whose machine answers nobody are forgotten: what is decided, and told to a real etcd."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.contract.knowledge.etcd_bench import NAMES, Etcd, etcd_program
from tests.golden.ansible.programs import load_program

ONE, TWO, THREE = "10.20.0.24", "10.20.0.25", "10.20.0.26"


@pytest.fixture
def program(tmp_path: Path) -> ModuleType:
    return load_program(
        tmp_path, "knowledge_watch/permafrost-knowledge-watch.py.j2", "bergen-knowledge-02"
    )


def word(look: int, *unanswered: str) -> dict[str, Any]:
    return {"look": look, "unanswered": list(unanswered)}


def test_one_that_answers_again_in_time_is_not_missed(program: ModuleType) -> None:
    peers = program.Peers([ONE, THREE])
    assert peers.unanswered(0.0, {ONE}) == []
    assert peers.unanswered(1.9, {ONE}) == []
    assert peers.unanswered(2.0, {ONE}) == [THREE]
    assert peers.unanswered(2.5, {ONE, THREE}) == []
    assert peers.unanswered(3.0, {ONE}) == []
    assert peers.unanswered(4.9, {ONE}) == []


def test_what_one_member_alone_sees_loses_nobody(program: ModuleType) -> None:
    """Its own link may be what is broken."""
    peers = program.Peers([ONE, THREE])
    for look in range(20):
        said = {TWO: word(look, THREE), ONE: word(look)}
        assert peers.lost(look / 2, [THREE], {ONE: said[ONE]}) == []


def test_what_another_one_says_counts_while_it_goes_on_saying_it(program: ModuleType) -> None:
    peers = program.Peers([ONE, THREE])
    assert peers.lost(0.0, [THREE], {ONE: word(7, THREE)}) == [], "it may be of last week"
    assert peers.lost(0.5, [THREE], {ONE: word(7, THREE)}) == []
    assert peers.lost(1.0, [THREE], {ONE: word(8, THREE)}) == [THREE]
    assert peers.lost(3.9, [THREE], {ONE: word(8, THREE)}) == [THREE]
    assert peers.lost(4.1, [THREE], {ONE: word(8, THREE)}) == []
    assert peers.lost(4.5, [THREE], {ONE: word(9)}) == []
    assert peers.lost(5.0, [], {ONE: word(10, THREE)}) == [], "it answers here"


def test_of_five_members_three_have_to_say_it(program: ModuleType) -> None:
    others = [f"10.20.0.{n}" for n in (26, 27, 28, 29)]
    peers = program.Peers(others)
    lost, *rest = others

    def said(look: int, sayers: int) -> dict[str, Any]:
        return {m: word(look, *([lost] if i < sayers else [])) for i, m in enumerate(rest)}

    for look in range(5):
        assert peers.lost(float(look), [lost], said(look, 1)) == []
    assert peers.lost(5.0, [lost], said(5, 2)) == [lost]


def test_a_machine_answers_by_refusing_and_is_silent_by_saying_nothing(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program.answers("127.0.0.1"), "nobody serves port 1: its machine refuses"

    def fails(error: OSError) -> None:
        def connect(*_: object) -> None:
            raise error

        monkeypatch.setattr(program.socket, "create_connection", connect)

    fails(TimeoutError())
    assert not program.answers(THREE)
    fails(OSError(program.errno.EHOSTUNREACH, "no route to host"))
    assert not program.answers(THREE)
    fails(OSError(program.errno.EMFILE, "too many open files"))
    with pytest.raises(OSError, match="too many open files"):
        program.answers(THREE)


def test_who_falls_silent_is_hung_up_on_once_each_time(program: ModuleType) -> None:
    peers = program.Peers([ONE, THREE])
    assert peers.to_hang_up([]) == []
    assert peers.to_hang_up([THREE]) == [THREE]
    assert peers.to_hang_up([THREE]) == []
    assert peers.to_hang_up([ONE, THREE]) == [ONE]
    assert peers.to_hang_up([ONE]) == []
    assert peers.to_hang_up([ONE, THREE]) == [THREE], "it had answered meanwhile"


def test_connections_to_one_machine_are_ended_and_no_others(
    program: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real ones, and nothing moves on any of them: the kernel would never miss the other side."""
    lost, alive = "127.93.4.5", "127.93.4.6"
    servers = {a: socket.create_server((a, 0)) for a in (lost, alive)}
    clients = {a: socket.create_connection(s.getsockname()) for a, s in servers.items()}
    with servers[lost], servers[alive], clients[lost], clients[alive]:
        program.hang_up(lost)
        assert f"{lost} does not answer; 1 connections to it are ended" in capsys.readouterr().out
        clients[lost].settimeout(5)
        with pytest.raises(ConnectionAbortedError):
            clients[lost].recv(1)
        clients[alive].settimeout(0.2)
        with pytest.raises(TimeoutError):
            clients[alive].recv(1)
        program.hang_up(lost)
        assert "; 0 connections to it are ended" in capsys.readouterr().out


def test_connections_that_cannot_be_ended_end_no_watch(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (FileNotFoundError("no ss"), subprocess.TimeoutExpired("ss", 10)):

        def fails(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(program.subprocess, "run", fails)
        program.hang_up(THREE)
        assert f"{THREE} does not answer; connections to it stay" in capsys.readouterr().out


def test_who_answers_nothing_is_hung_up_on_before_anything_is_asked_of_etcd(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Etcd may have lost its leader with that member."""
    settings = {"etcd": "http://127.0.0.1:1", "root": "bergen", "address": TWO, "peers": [THREE]}
    ended: list[str] = []
    monkeypatch.setattr(program, "hang_up", ended.append)
    shunned: list[tuple[list[str], list[str]]] = []
    monkeypatch.setattr(program, "shun", lambda *of: shunned.append(of))
    peers = program.Peers([ONE, THREE])
    program.forget_lost(settings, peers, {ONE}, 1, 100.0)
    for now in (102.0, 102.5, 103.0):
        with pytest.raises(OSError, match="refused"):
            program.forget_lost(settings, peers, {ONE}, 1, now)
    program.forget_lost(settings, peers, {ONE, THREE}, 1, 103.5)
    assert ended == [THREE]
    assert shunned == [([THREE], []), ([], [THREE])]


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Etcd]:
    with Etcd(etcd_program(tmp_path), tmp_path).running_for_a_block() as cluster:
        yield cluster


def register(program: ModuleType, url: str, name: str, address: str) -> None:
    """Register as a process of Milvus does, with a lease that outlives the test."""
    lease = program.post(url + "/v3/lease/grant", {"TTL": "600"})["ID"]
    value = json.dumps({"ServerID": 7, "Address": address}).encode()
    key = program.text(f"bergen/meta/session/{name}".encode())
    put = {"key": key, "value": program.text(value), "lease": lease}
    program.post(url + "/v3/kv/put", put)


def test_the_leases_of_a_lost_member_are_revoked_once_two_say_so_and_no_others(
    program: ModuleType, etcd: Etcd
) -> None:
    url = etcd.url(NAMES[0])
    registered = {"querynode-1": f"{THREE}:21123", "querycoord": f"{THREE}:19531",
                  "querynode-2": f"{TWO}:21123", "proxy-3": f"{ONE}:19529"}  # fmt: skip
    for name, address in registered.items():
        register(program, url, name, address)
    program.UNANSWERED_S = 0.0
    both = {}
    for own, peer in ((ONE, TWO), (TWO, ONE)):
        settings = {"etcd": url, "root": "bergen", "address": own, "peers": [peer, THREE]}
        both[own] = (settings, program.Peers([peer, THREE]), {peer})

    def look(own: str, number: int) -> None:
        settings, peers, alive = both[own]
        program.forget_lost(settings, peers, alive, number, time.monotonic())

    for number in range(4):
        look(TWO, number)
    sessions = program.sessions_of(both[TWO][0])
    assert sessions == registered, "one alone says so"
    for number in range(3):
        look(ONE, number)
        look(TWO, 10 + number)
    sessions = program.sessions_of(both[TWO][0])
    assert sorted(sessions) == ["proxy-3", "querynode-2"]
    before = program.pairs_below(both[TWO][0], program.UNANSWERED)
    look(TWO, 99)
    after = program.pairs_below(both[TWO][0], program.UNANSWERED)
    assert before == after, "of who has nothing nothing is said"
    assert base64.b64decode(after[0][1]["value"])


def test_what_is_in_the_way_of_looking_ends_no_watch(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"etcd": "http://127.0.0.1:1", "root": "bergen", "address": TWO, "peers": [THREE]}
    looks: list[int] = []

    class Enough(BaseException):
        pass

    def sleep(_: float) -> None:
        looks.append(1)
        if len(looks) > 3:
            raise Enough

    monkeypatch.setattr(program.time, "sleep", sleep)
    monkeypatch.setattr(program, "UNANSWERED_S", 0.0)
    monkeypatch.setattr(program, "answers", lambda _: False)
    with pytest.raises(Enough):
        program.mind_peers(settings)
    assert len(looks) == 4
