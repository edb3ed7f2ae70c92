"""permafrost-knowledge-watch: what it decides, and what it does against servers."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.golden.ansible.programs import load_program
from tests.golden.ansible.rendering import render

ROLES = ("rootcoord", "datacoord", "querycoord")
FIRST, OWN = "10.20.0.24", "10.20.0.25"
SETTINGS: dict[str, Any] = json.loads(
    render("knowledge_watch/knowledge-watch.json.j2", "bergen-knowledge-02")
)


@pytest.fixture
def program(tmp_path: Path) -> ModuleType:
    return load_program(
        tmp_path, "knowledge_watch/permafrost-knowledge-watch.py.j2", "bergen-knowledge-02"
    )


def standing_by(address: str, number: int) -> dict[str, str]:
    return {f"{role}-{number}": f"{address}:{port}" for role, port in
            zip(ROLES, (53100, 13333, 19531), strict=True)}  # fmt: skip


def active(address: str, number: int) -> dict[str, str]:
    plain = {k.rpartition("-")[0]: v for k, v in standing_by(address, number).items()}
    return {**plain, **standing_by(address, number)}


QUERY = {"querynode-9": f"{OWN}:21123"}
PIDS = {"milvus-coordinators": 70, "milvus-query-1": 90}


def test_a_process_whose_session_is_gone_is_ended_once(program: ModuleType) -> None:
    watch = program.Watch(SETTINGS)
    whole = {**active(FIRST, 5), **standing_by(OWN, 6), **QUERY}
    assert watch.ended(0.0, PIDS, whole) == []
    lost = {k: v for k, v in whole.items() if k != "querycoord-6"}
    assert watch.ended(1.0, PIDS, lost) == []  # it may be registering anew
    assert watch.ended(2.0, PIDS, lost) == []
    assert watch.ended(3.0, PIDS, lost) == ["milvus-coordinators"]
    # Its place has been taken by a new process, which has registered nothing so far.
    assert watch.ended(4.0, {**PIDS, "milvus-coordinators": 71}, lost) == []
    assert watch.ended(30.0, {**PIDS, "milvus-coordinators": 71}, lost) == []


def test_what_never_had_a_session_comes_back_in_time_or_stops_is_let_be(
    program: ModuleType,
) -> None:
    watch = program.Watch(SETTINGS)
    assert watch.ended(0.0, PIDS, {}) == []  # it starts
    assert watch.ended(60.0, PIDS, {}) == []
    assert watch.ended(61.0, PIDS, QUERY) == []
    assert watch.ended(62.0, PIDS, {}) == []
    assert watch.ended(63.0, PIDS, QUERY) == []  # back
    assert watch.ended(64.0, PIDS, {}) == []
    assert watch.ended(65.9, PIDS, {}) == []
    assert watch.ended(66.1, {}, {}) == []  # somebody stops it


def test_coordinators_give_way_to_the_first_ones_that_stay(program: ModuleType) -> None:
    watch, both = program.Watch(SETTINGS), {**active(OWN, 6), **standing_by(FIRST, 8)}
    assert not watch.gives_way(0.0, both)
    assert not watch.gives_way(program.BACK_S - 1, both)
    assert not watch.gives_way(program.BACK_S - 0.5, active(OWN, 6))  # away again
    assert not watch.gives_way(program.BACK_S, both)
    assert not watch.gives_way(2 * program.BACK_S - 1, both)
    assert watch.gives_way(2 * program.BACK_S, both)
    assert not watch.gives_way(2 * program.BACK_S + 1, both)  # once


def test_coordinators_of_two_members_come_together_at_the_first_ones(program: ModuleType) -> None:
    split = {**active(OWN, 6), **standing_by(FIRST, 8), "datacoord": f"{FIRST}:13333"}
    watch = program.Watch(SETTINGS)
    assert not watch.gives_way(1.0, split)
    assert watch.gives_way(program.BACK_S + 1, split)
    watch = program.Watch(SETTINGS)
    moving = {key: where for key, where in split.items() if key != "rootcoord"}
    assert not any(watch.gives_way(float(now), moving) for now in range(0, 600, 20))


@pytest.mark.parametrize(
    "sessions",
    [
        {**active(FIRST, 5), **standing_by(OWN, 6)},  # as it is to be
        active(OWN, 6),  # nobody else is there
        {**active(OWN, 6), "rootcoord-8": f"{FIRST}:53100"},  # not whole yet
        {**active(OWN, 6), **standing_by(FIRST, 8), "datacoord": "10.0.0.9:13333"},  # a third one
    ],
)
def test_nobody_gives_way_without_need(program: ModuleType, sessions: dict[str, str]) -> None:
    watch = program.Watch(SETTINGS)
    assert not any(watch.gives_way(float(now), sessions) for now in range(0, 600, 20))


def test_the_first_coordinators_never_give_way(program: ModuleType) -> None:
    watch = program.Watch({**SETTINGS, "address": FIRST})
    sessions = {**active(FIRST, 5), **standing_by(OWN, 6)}
    assert not any(watch.gives_way(float(now), sessions) for now in range(0, 600, 20))


class Etcd:
    """etcd's JSON, with what it was asked; 42 is its number."""

    def __init__(self) -> None:
        self.sessions: dict[str, str] = {}
        self.leader = "42"
        self.moved: list[str] = []

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        match path:
            case "/v3/kv/range":
                return {"kvs": [pair(k, v) for k, v in self.sessions.items()]}
            case "/v3/maintenance/status":
                return {"leader": self.leader, "header": {"member_id": "42"}}
            case "/v3/kv/deleterange":
                key = base64.b64decode(body["key"]).decode()
                del self.sessions[key.removeprefix("bergen/meta/session/")]
                return {"deleted": "1"}
            case _:
                self.moved.append(f"{path} {body['targetID']}")
                return {}


def pair(name: str, address: str) -> dict[str, str]:
    key = base64.b64encode(f"bergen/meta/session/{name}".encode()).decode()
    value = json.dumps({"ServerID": 7, "Address": address})
    return {"key": key, "value": base64.b64encode(value.encode()).decode()}


@pytest.fixture
def etcd() -> Iterator[tuple[Etcd, str]]:
    state = Etcd()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(state.answer(self.path, asked)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return None

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield state, f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


def test_it_ends_the_unit_and_moves_the_leader_as_it_was_told(
    program: ModuleType, etcd: tuple[Etcd, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state, url = etcd
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(program, "systemctl", lambda *argv: ran.append(argv))
    monkeypatch.setattr(program, "pids_of", lambda units: {"milvus-coordinators": 70})
    settings = {**SETTINGS, "etcd": url, "own_etcd": url,
                "next_leaders": ["http://127.0.0.1:1", url]}  # fmt: skip
    watch = program.Watch(settings)
    state.sessions = active(OWN, 6)
    again = program.look(settings, watch, 100.0, 0.0)
    assert state.moved == ["/v3/maintenance/transfer-leadership 42"]
    assert again == 100.0 + program.LEADER_S
    state.sessions, state.leader = {}, "43"
    program.look(settings, watch, 101.0, again)
    program.look(settings, watch, 104.0, again)
    program.look(settings, watch, 110.0, again)
    assert ran == [("kill", "--signal=SIGKILL", "milvus-coordinators.service")]
    assert len(state.moved) == 1


def test_what_has_ended_is_forgotten_and_nothing_else(
    program: ModuleType, etcd: tuple[Etcd, str]
) -> None:
    """The plain names of active coordinators too: a standby waits for those to go."""
    state, url = etcd
    settings = {**SETTINGS, "etcd": url}
    others = {"querynode-9": "10.20.0.99:1", "proxy-3": f"{OWN}:19529"}
    state.sessions = {**active(OWN, 6), **others}
    assert program.forget(settings, "milvus-coordinators") == sorted(active(OWN, 6))
    assert state.sessions == others
    assert program.forget(settings, "milvus-coordinators") == []


def test_what_cannot_be_seen_is_not_judged(program: ModuleType) -> None:
    with pytest.raises(OSError, match="refused"):
        program.sessions_of({**SETTINGS, "etcd": "http://127.0.0.1:1"})


def test_units_that_run_are_known_by_their_process(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = (
        "Id=milvus-query-1.service\nMainPID=90\nActiveState=active\n\n"
        "Id=milvus-proxies.service\nMainPID=91\nActiveState=deactivating\n"
    )
    monkeypatch.setattr(
        program.subprocess,
        "run",
        lambda argv, **_: subprocess.CompletedProcess(argv, 0, shown, ""),
    )
    assert program.pids_of(["milvus-query-1", "milvus-proxies"]) == {"milvus-query-1": 90}


@pytest.mark.parametrize(
    ("left", "first_looks"),
    [
        ({}, 2),  # all begin: the first ones are to be active
        # Its ended process has its roles until its lease is over; the first ones take them then.
        ({**active(OWN, 6), **standing_by(FIRST, 8)}, 2),
        ({**standing_by(FIRST, 8), "rootcoord": f"{OWN}:53100"}, 2),
        # Nobody stands by: whoever waited would be an outage.
        (active(OWN, 6), 0),
        ({**active(OWN, 6), "rootcoord-8": f"{FIRST}:53100"}, 0),
    ],
)
def test_a_standby_waits_for_those_that_are_or_become_active(
    left: dict[str, str],
    first_looks: int,
    program: ModuleType,
    etcd: tuple[Etcd, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state, url = etcd
    state.sessions = left
    waits: list[float] = []

    def passes(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            state.sessions = active(FIRST, 8)

    monkeypatch.setattr(program.time, "sleep", passes)
    program.wait_for_first({**SETTINGS, "etcd": url}, 30.0)
    assert len(waits) == first_looks
