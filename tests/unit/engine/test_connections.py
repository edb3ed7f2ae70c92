"""How many connections a process keeps, and to which file."""

from __future__ import annotations

import shutil
from pathlib import Path

from permafrost.engine.state import StateStore

WAITING = 100


def open_files(folder: Path) -> int:
    """Return how many files below a folder this process has open."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            found += str(link.readlink()).startswith(str(folder))
        except FileNotFoundError:  # the listing's own
            continue
    return found


def test_hooks_that_wait_keep_no_connection_each(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    waiting = [StateStore(folder) for _ in range(WAITING)]
    for store in waiting:
        store.remember("seen", {"by": "one"})
    assert open_files(folder) < 10
    assert all(store.recall("seen") == {"by": "one"} for store in waiting)


def test_a_folder_that_is_made_anew_is_another_database(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    before = StateStore(folder)
    before.remember("seen", {"by": "one"})
    shutil.rmtree(folder)
    assert StateStore(folder).recall("seen") is None
    assert before.recall("seen") == {"by": "one"}, "it keeps what it has open"
