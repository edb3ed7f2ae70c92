"""What a member does by itself, and what it is told: never both, and one member at a time.

The program runs as on a member, against a real etcd of three; ``systemctl`` and the program that
empties are scripts that write down how they are called.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.contract.knowledge.etcd_bench import NAMES, Etcd, etcd_program
from tests.contract.knowledge.leaders_bench import coded
from tests.contract.knowledge.test_member_empties import EMPTIED, calls, ends, script, settings
from tests.golden.ansible.programs import knowledge_program

NAME, TURN = "permafrost_knowledge.py", "bergen/permafrost-turn"
ONE, TWO = "10.20.0.25", "10.20.0.26"
UNIT, SOON_S = "milvus-query-1", 30.0
RESTARTED = [*ends(UNIT), f"systemctl restart {UNIT}.service"]


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    folder = tmp_path_factory.mktemp("etcd")
    with Etcd(etcd_program(folder), folder).running_for_a_block() as cluster:
        yield cluster


class Member:
    """A folder with the program, its settings and what it calls."""

    def __init__(self, etcd: Etcd, folder: Path, address: str) -> None:
        self.folder = folder
        folder.mkdir()
        self.program: ModuleType = knowledge_program(folder, "bergen-knowledge-02")
        places = {
            "/etc/permafrost/knowledge.json": folder / "settings.json",
            "/run/permafrost-knowledge.lock": folder / "lock",
            "/usr/local/sbin/permafrost-knowledge-leaders": folder / "leaders",
        }
        text = (folder / NAME).read_text()
        for old, new in places.items():
            text = text.replace(f'"{old}"', f'"{new}"')
        # Long for a person, not for a test.
        lasting = ("TURN_LEASE_S, TURN_KEPT_S, TURN_WAIT_S = 15, 5.0, 60.0", "= 2, 0.3, 60.0")
        assert text.count(lasting[0]) == 1
        text = text.replace(lasting[0], lasting[0].partition("=")[0] + lasting[1])
        assert text.count("ANSWERED_S = 3.0") == 1
        text = text.replace("ANSWERED_S = 3.0", "ANSWERED_S = 0.0")
        (folder / NAME).write_text(text)
        self.told = etcd.settings(**{**settings(), "etcd": [etcd.url(n) for n in NAMES],
                                     "root": "bergen", "address": address}, tls={})  # fmt: skip
        (folder / "settings.json").write_text(json.dumps(self.told))
        script(folder / "systemctl", "")
        script(folder / "podman", "")
        self.empties(f"echo '{EMPTIED}'")

    def empties(self, does: str) -> None:
        """Say what the program that empties does."""
        script(self.folder / "leaders", does)

    def begin(self, *told: str) -> subprocess.Popen[str]:
        """Start the command as on a member."""
        path = f"{self.folder}:{os.environ['PATH']}"
        return subprocess.Popen(
            [sys.executable, self.folder / NAME, *told], stdout=subprocess.PIPE, text=True,
            stderr=subprocess.PIPE, start_new_session=True, env={**os.environ, "PATH": path},
        )  # fmt: skip

    def does(self, *told: str) -> dict[str, Any]:
        """Return what the command says when it has ended."""
        out, err = self.begin(*told).communicate(timeout=SOON_S)
        assert out, err
        found: dict[str, Any] = json.loads(out)
        return found

    @property
    def called(self) -> list[str]:
        return calls(self.folder) if (self.folder / "calls").exists() else []


@pytest.fixture
def one(etcd: Etcd, tmp_path: Path) -> Member:
    everything = {"key": coded("bergen/"), "range_end": coded("bergen0")}
    etcd.ask(NAMES[0], "kv/deleterange", everything)
    return Member(etcd, tmp_path / "one", ONE)


@pytest.fixture
def two(etcd: Etcd, tmp_path: Path, one: Member) -> Member:
    return Member(etcd, tmp_path / "two", TWO)


def turn(etcd: Etcd) -> bool:
    found: Any = etcd.ask(NAMES[0], "kv/range", {"key": coded(TURN)})
    return "kvs" in found


def until(what: str, is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + SOON_S
    while not is_so():
        assert time.monotonic() < ends, f"never: {what}"
        time.sleep(0.02)


def is_emptying(member: Member) -> bool:
    return any(line.startswith("leaders vacate") for line in member.called)


def holds_until(member: Member) -> Path:
    """Have a member's emptying last until a file is there; return it."""
    go_on = member.folder / "go-on"
    member.empties(f"while [ ! -e {go_on} ]; do sleep 0.05; done; echo '{EMPTIED}'")
    return go_on


def test_a_query_node_is_emptied_and_begins_anew_and_the_turn_is_given_back(
    etcd: Etcd, one: Member
) -> None:
    found = one.does("spread", UNIT)
    assert found["spread"] == UNIT
    assert found["emptied"][0]["untold"] == []
    assert one.called[0].startswith("leaders vacate 21123 ")
    assert one.called[1:] == RESTARTED
    assert not turn(etcd)


def test_the_turn_lasts_as_long_as_it_does_and_no_other_member_begins(
    etcd: Etcd, one: Member, two: Member
) -> None:
    go_on = holds_until(one)
    first = one.begin("spread", UNIT)
    until("it empties", lambda: is_emptying(one))
    assert one.program.etcd(one.told)["turn"] == ONE, "and the orchestrator is told whose it is"
    ends = time.monotonic() + 4.0  # twice the lease
    while time.monotonic() < ends:
        assert turn(etcd)
        time.sleep(0.1)
    assert two.does("spread", UNIT)["why"] == "it is another member's turn"
    assert two.called == []
    go_on.touch()
    assert first.wait(SOON_S) == 0
    assert one.program.etcd(one.told)["turn"] == ""
    assert two.does("spread", UNIT)["spread"] == UNIT


def test_what_a_person_tells_another_member_waits_for_it(
    etcd: Etcd, one: Member, two: Member
) -> None:
    """The control: without a turn it begins at once."""
    assert "restarted" in two.does("restart", UNIT)
    (two.folder / "calls").unlink()
    go_on = holds_until(one)
    first = one.begin("spread", UNIT)
    until("it empties", lambda: is_emptying(one))
    second = two.begin("restart", UNIT)
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(2.0)
    assert two.called == []
    go_on.touch()
    assert (first.wait(SOON_S), second.wait(SOON_S)) == (0, 0)
    assert two.called[-3:] == RESTARTED


@pytest.mark.parametrize("verb", ["hand-over", "stop", "restart"])
def test_whoever_is_killed_leaves_its_turn_by_itself(etcd: Etcd, one: Member, verb: str) -> None:
    """It held up what it was told meanwhile; what it left emptied is ended or begins anew."""
    holds_until(one)
    first = one.begin("spread", UNIT)
    until("it empties", lambda: is_emptying(one))
    assert turn(etcd)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    until("its turn is over", lambda: not turn(etcd))
    one.empties(f"echo '{EMPTIED}'")
    told = (verb,) if verb == "hand-over" else (verb, UNIT)
    assert one.does(*told)["schema"] == 1


def test_it_does_not_begin_while_the_member_is_changed_and_ends_nobody(
    etcd: Etcd, one: Member
) -> None:
    go_on = holds_until(one)
    first = one.begin("restart", UNIT)
    until("it empties", lambda: is_emptying(one))
    assert one.does("spread", "milvus-query-2")["why"] == "this member is being changed"
    assert first.poll() is None
    assert not turn(etcd)
    go_on.touch()
    assert first.wait(SOON_S) == 0
    assert one.called[-3:] == RESTARTED


def test_it_does_not_begin_while_a_query_node_is_about_to_stop(etcd: Etcd, one: Member) -> None:
    session = {"ServerID": 9, "Address": f"{TWO}:21123", "Version": "2.3.5", "Stopping": True}
    key, value = coded("bergen/meta/session/querynode-9"), coded(json.dumps(session))
    etcd.ask(NAMES[0], "kv/put", {"key": key, "value": value})
    assert one.does("spread", UNIT)["why"] == "querynode-9 is about to stop"
    assert one.called == []
    assert not turn(etcd)


def test_where_etcd_does_not_answer_what_is_told_is_done_and_nothing_by_itself(
    one: Member,
) -> None:
    (one.folder / "settings.json").write_text(json.dumps({**one.told, "etcd": []}))
    first = one.begin("spread", UNIT)
    assert first.wait(SOON_S) != 0
    assert one.called == []
    done: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: done.append(one.does("stop", UNIT)))
    thread.start()
    thread.join(SOON_S)
    assert done[0]["stopped"] == UNIT
