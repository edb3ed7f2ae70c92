"""The control plane's memory."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
from pathlib import Path

import pytest

from permafrost.engine import journal
from permafrost.engine.holder import Holder
from permafrost.engine.state import DeclaredState, Phase, StateStore
from permafrost.errors import Held, Refused
from permafrost.planning.placement import Placement, Slot
from permafrost.planning.steps import OperationPlan

ALL = frozenset({"a", "b", "c"})


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    return StateStore(tmp_path / "state")


def test_what_is_written_is_read_by_another(store: StateStore) -> None:
    placement = Placement(
        {"a": Slot("h1", "host-1", ("0000:3b:00.0",)), "e": Slot("h1", "host-1")}
    )
    store.record_placement(placement)
    store.declare("a", DeclaredState.DRAINED, owner="operator:me", reason="fan")
    other = StateStore(store.state_dir)
    assert other.placement() == placement
    assert other.declared()["a"].reason == "fan"
    assert (store.state_dir / "permafrost.db").stat().st_mode & 0o077 == 0
    assert store.state_dir.stat().st_mode & 0o077 == 0


def test_a_database_of_an_earlier_release_is_brought_up(tmp_path: Path) -> None:
    old = StateStore(tmp_path / "old")
    old.declare("a", DeclaredState.DRAINED, owner="operator:me", reason="fan")
    with sqlite3.connect(old.state_dir / "permafrost.db") as database:
        for column in ("holder", "deadline"):
            database.execute(f"ALTER TABLE replicas DROP COLUMN {column}")
        database.execute("UPDATE meta SET value = '1' WHERE key = 'version'")
    again = StateStore(old.state_dir)
    assert again.declared()["a"].reason == "fan"
    again.declare("b", DeclaredState.ADMITTED, owner="deploy")
    with sqlite3.connect(old.state_dir / "permafrost.db") as database:
        database.execute("UPDATE meta SET value = '99' WHERE key = 'version'")
    with pytest.raises(Refused, match="STATE_VERSION"):
        StateStore(old.state_dir)


def test_the_record_is_replaced_whole(store: StateStore) -> None:
    store.record_placement({"a": Slot("h1", "m1"), "b": Slot("h2", "m2")})
    store.record_placement({"b": Slot("h3", "m3")})
    assert dict(store.placement()) == {"b": Slot("h3", "m3")}
    store.forget("b")
    assert len(store.placement()) == 0


def turn(store: StateStore, node: str, owner: str = "pulumi", floor: int = 2) -> int:
    return len(
        store.take_turn(node, ALL, floor=floor, owner=owner, reason="", serving=ALL - {node})
    )


def test_of_many_that_ask_at_once_one_gets_the_turn(store: StateStore) -> None:
    for node in ALL:
        store.declare(node, DeclaredState.ADMITTED, owner="deploy")
    got: list[int] = []
    threads = [threading.Thread(target=lambda n=node: got.append(turn(store, n))) for node in ALL]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [0, 1, 1]
    assert [d.state for d in store.declared().values()].count(DeclaredState.DRAINING) == 1


def test_a_turn_is_kept_by_whoever_has_it(store: StateStore) -> None:
    assert turn(store, "a") == 0
    assert turn(store, "a") == 0
    assert turn(store, "b") == 1
    store.declare("a", DeclaredState.ADMITTED, owner="pulumi")
    assert turn(store, "b") == 0


def test_a_person_may_take_a_second_one_above_the_floor(store: StateStore) -> None:
    assert turn(store, "a") == 0
    assert turn(store, "b", owner="operator:me", floor=2) == 1
    assert turn(store, "b", owner="operator:me", floor=1) == 0


def test_the_journal_is_in_order(store: StateStore) -> None:
    operation = store.begin("drain a", owner="me")
    store.note(operation, "01", kind="drain", target="a", phase=Phase.INTENT)
    store.note(operation, "01", kind="drain", target="a", phase=Phase.DONE, detail={"n": 0})
    store.finish(operation, "DONE")
    assert [e.phase for e in store.journal(operation)] == [Phase.INTENT, Phase.DONE]
    assert store.operations()[0].outcome == "DONE"


def test_the_lock_is_for_one(store: StateStore) -> None:
    token = store.lock.acquire("deploy")
    with pytest.raises(Held, match="deploy holds the site"):
        StateStore(store.state_dir).lock.acquire("drain a")
    with pytest.raises(Held, match="deploy holds the site"):
        store.lock.require_free(None)
    with pytest.raises(Held):
        store.lock.check(None)
    store.lock.check(token)
    store.lock.release(token)
    store.lock.check(None)
    with pytest.raises(Held, match="LOCK_LOST"):
        store.lock.check(token)


def _hold_and_die(state_dir: Path) -> None:
    store = StateStore(state_dir)
    store.lock.acquire("deploy")
    store.begin("deploy", owner="deploy")


def test_a_dead_holders_lock_is_free_and_its_operation_cut(store: StateStore) -> None:
    child = multiprocessing.get_context("spawn").Process(
        target=_hold_and_die, args=(store.state_dir,)
    )
    child.start()
    child.join()
    assert child.exitcode == 0
    assert store.lock.holder() is None
    store.lock.check(None)
    store.lock.release(store.lock.acquire("deploy"))
    store.begin("deploy", owner="deploy")
    assert [o.outcome for o in store.operations()] == [None, "CUT"]


def test_another_machines_lock_is_never_taken(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    store.lock.acquire("deploy")
    monkeypatch.undo()
    with pytest.raises(Held, match="elsewhere"):
        store.lock.acquire("deploy")


def test_a_pid_given_again_is_another_process() -> None:
    me = Holder.me()
    assert me.is_alive()
    assert not Holder(me.machine, me.boot_id, me.pid, me.start_ticks - 1).is_alive()
    assert not Holder(me.machine, "another boot", me.pid, me.start_ticks).is_alive()
    assert Holder.from_text(me.to_text()) == me


def test_of_operations_that_began_in_one_moment_the_later_is_the_newest(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed one and its repetition may: their random ids say nothing of their order."""
    monkeypatch.setattr(journal, "now_text", lambda: "2026-01-01T00:00:00.000Z")
    begun = []
    for n in range(12):
        operation = store.begin_run(OperationPlan("drain", str(n), ()), owner="me")
        store.finish(operation, "DONE")
        begun.append(operation)
    assert [o.id for o in store.operations()] == begun[::-1]
    assert [r.operation for r in store.runs.all()] == begun[::-1]
