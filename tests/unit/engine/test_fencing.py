"""Whoever let the lease run out is ended, with its children, before the lock is taken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from permafrost.engine.fencing import descendants, end_process
from permafrost.engine.holder import Holder
from permafrost.engine.lock import SiteLock
from permafrost.engine.state import StateStore
from permafrost.engine.timestamps import rfc3339
from permafrost.errors import Held

HOLD = """
import subprocess, sys, time
from pathlib import Path
from permafrost.engine.state import StateStore
store = StateStore(Path(sys.argv[1]))
store.lock.acquire("deploy")
child = subprocess.Popen(["/bin/sh", "-c", "sleep 600 & wait"])
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    return StateStore(tmp_path / "state")


@pytest.fixture
def holder(store: StateStore) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock and has a child and a grandchild."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store.state_dir)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    while len(descendants(process.pid)) < 2:
        time.sleep(0.01)
    yield process
    for pid in [*descendants(process.pid), process.pid]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(10)


def expire(store: StateStore) -> None:
    """Let the lease have run out."""
    long_ago = rfc3339(datetime.now(UTC) - timedelta(seconds=1))
    with store._database.begin() as connection:
        connection.execute("UPDATE site_lock SET expires_at = ?", (long_ago,))


def test_within_its_lease_the_lock_stands(
    store: StateStore, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(Held, match="SITE_HELD"):
        store.lock.acquire("drain")
    assert holder.poll() is None


def test_overdue_it_is_ended_with_its_children_even_asleep(
    store: StateStore, holder: subprocess.Popen[str]
) -> None:
    below = [Holder.of_process(pid) for pid in descendants(holder.pid)]
    holder.send_signal(signal.SIGSTOP)
    expire(store)
    token = store.lock.acquire("drain")
    assert holder.wait(5) == -signal.SIGKILL
    assert not any(h.is_alive() for h in below)
    store.lock.check(token)


def test_overdue_on_another_machine_it_stands(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    store.lock.acquire("deploy")
    monkeypatch.undo()
    expire(store)
    with pytest.raises(Held, match="elsewhere"):
        store.lock.acquire("drain")


def test_a_renewed_lease_has_not_run_out(store: StateStore) -> None:
    token = store.lock.acquire("deploy")
    expire(store)
    store.lock.check(token)
    facts = store.lock.holder()
    assert facts is not None
    assert not facts.has_expired


def test_whose_lock_was_taken_does_nothing_more(store: StateStore) -> None:
    token = store.lock.acquire("deploy")
    store.lock.release(token)
    other = SiteLock(store._database).acquire("drain")
    with pytest.raises(Held):
        store.lock.check(token)
    store.lock.check(other)


def test_a_dead_process_needs_no_ending() -> None:
    process = subprocess.Popen(["/bin/true"])
    gone = Holder.of_process(process.pid)
    process.wait(5)
    end_process(gone)
