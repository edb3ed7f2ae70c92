"""A state folder that is damaged, full, locked or another site's is told, with what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from permafrost.engine.database import FILE_NAME
from permafrost.engine.state import DeclaredState, Phase, StateStore
from permafrost.errors import Failed, Refused
from permafrost.planning.lifecycle import MaintenanceRecord, MaintenanceState
from permafrost.planning.placement import Slot
from permafrost.planning.steps import OperationPlan

Read = Callable[[StateStore], object]


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    return StateStore(tmp_path / "state")


def filled(store: StateStore) -> str:
    """Write a row of each kind; return the operation."""
    store.record_placement({"a": Slot("h1", "m1")})
    store.declare("a", DeclaredState.DRAINED, owner="operator:me")
    store.remember("seen", {"by": "me"})
    operation = store.begin_run(OperationPlan("drain", "a", ()), owner="operator:me")
    store.note(operation, "01", kind="k", target="a", phase=Phase.INTENT, detail={"x": 1})
    store.maintenance.put(
        MaintenanceRecord("h1", "h1", MaintenanceState.IN, operation, "operator:me", "", (), ())
    )
    store.lock.acquire("drain a")
    return operation


DAMAGED: dict[str, tuple[str, Read]] = {
    "placement": ("UPDATE placement SET gpus = '[\"0000:3b'", lambda s: s.placement()),
    "replicas": ("UPDATE replicas SET state = 'DRAI'", lambda s: s.declared()),
    "seen": (
        "UPDATE meta SET value = '{' WHERE key LIKE 'document:%'",
        lambda s: s.recall("seen"),
    ),
    "step 01": ("UPDATE journal SET detail = '{\"x\":'", lambda s: s.journal()),
    "a phase": ("UPDATE journal SET phase = 'INT'", lambda s: s.journal()),
    "a plan": ("UPDATE runs SET plan = substr(plan, 1, 40)", lambda s: s.runs.all()),
    "half a plan": ("UPDATE runs SET plan = '{}'", lambda s: s.runs.all()),
    "a run's state": ("UPDATE runs SET state = 'half'", lambda s: s.runs.all()),
    "a run's error": ("UPDATE runs SET error = '['", lambda s: s.runs.all()),
    "hosts in maintenance": (
        "UPDATE maintenance SET record = '{}'",
        lambda s: s.maintenance.all(),
    ),
    "a holder": ("UPDATE operations SET holder = 'me'", lambda s: s.runs.all()),
    "who has the lock": ("UPDATE site_lock SET holder = '{}'", lambda s: s.lock.holder()),
}


@pytest.mark.parametrize(("statement", "read"), DAMAGED.values(), ids=DAMAGED)
def test_half_a_row_is_told_with_its_place(store: StateStore, statement: str, read: Read) -> None:
    filled(store)
    read(store)
    with sqlite3.connect(store.state_dir / FILE_NAME) as database:
        assert database.execute(statement).rowcount
    with pytest.raises(Failed) as caught:
        read(store)
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("STATE_DAMAGED", "control.state_dir")
    assert problem.hint


def test_a_folder_of_no_form_is_told(store: StateStore) -> None:
    for statement in ("UPDATE meta SET value = 'x'", "DELETE FROM meta"):
        with sqlite3.connect(store.state_dir / FILE_NAME) as database:
            database.execute(statement)
        with pytest.raises(Failed, match=r"STATE_DAMAGED: control\.state_dir: .*its own form"):
            StateStore(store.state_dir)


def test_a_file_that_is_no_database_is_told_at_once_and_in_the_midst(store: StateStore) -> None:
    path = store.state_dir / FILE_NAME
    for name in (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"):
        (store.state_dir / name).write_bytes(b"no database " * 1000)
    for use in (store.declared, lambda: StateStore(store.state_dir)):
        with pytest.raises(Failed, match=f"STATE_UNUSABLE: control.state_dir: {path}"):
            use()


def test_a_full_disk_is_told_in_the_midst(store: StateStore) -> None:
    """SQLite's own bound on the file is met as the end of a disk is."""
    operation = filled(store)
    with store._database.begin() as connection:
        connection.execute("PRAGMA max_page_count = 1")
    detail = {"x": "y" * 1_000_000}
    with pytest.raises(Failed) as caught:
        store.note(operation, "02", kind="k", target="a", phase=Phase.DONE, detail=detail)
    assert caught.value.code == "STATE_UNUSABLE"
    assert "full" in caught.value.problems[0].message


def test_a_database_that_somebody_holds_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("permafrost.engine.database.BUSY_S", 0)
    store = StateStore(tmp_path / "held")
    with sqlite3.connect(store.state_dir / FILE_NAME, isolation_level=None) as database:
        database.execute("BEGIN IMMEDIATE")
        with pytest.raises(Failed, match=r"STATE_UNUSABLE: control\.state_dir: .*locked"):
            store.declared()
        database.execute("ROLLBACK")
    assert store.declared() == {}


def test_two_sites_never_share_a_folder(store: StateStore) -> None:
    store.claim("oslo")
    store.claim("oslo")
    with pytest.raises(Refused) as caught:
        StateStore(store.state_dir).claim("bergen")
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("STATE_OF_ANOTHER_SITE", "control.state_dir")
    assert "oslo" in problem.message
    assert "bergen" in problem.message
