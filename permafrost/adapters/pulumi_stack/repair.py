"""What a ``pulumi`` that was killed leaves behind, and how it is put right."""

from __future__ import annotations

import json
import logging
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from permafrost.adapters.pulumi_stack.lifeline import ENGINE, process_stat
from permafrost.adapters.pulumi_stack.locks import stack_locks

log = logging.getLogger(__name__)
ENDING_S = 3.0
"""How long what an engine had started may take to notice that it has ended."""


def remove_dead_locks(backend: Path, project: str, stack: str) -> int:
    """Remove locks whose process has ended on this machine; return how many."""
    dead = [lock for lock in stack_locks(backend, project, stack) if lock.is_dead()]
    for lock in dead:
        log.info("removing the lock of process %d, which has ended", lock.pid)
        lock.path.unlink(missing_ok=True)
    return len(dead)


def damaged_notes(folder: Path, stack: str) -> tuple[Path, ...]:
    """Return notes beside Pulumi's files that were cut off while they were written.

    The file backend keeps type and checksum of each file in a second one, ``*.attrs``, which it
    does not write at once. An empty one makes every command fail with ``failed to load
    checkpoint: EOF``, although the state beside it is whole. Those of other stacks in the same
    folder are left alone: who writes them cannot be seen from this stack's locks.
    """
    found = []
    root = folder / ".pulumi"
    for path in sorted(root.rglob("*.attrs")):
        if not _concerns(path.relative_to(root), stack):
            continue
        try:
            json.loads(path.read_text())
        except ValueError:
            found.append(path)
        except FileNotFoundError:
            continue
    return tuple(found)


def remove_damaged_notes(folder: Path, stack: str) -> int:
    """Remove such notes: without them the files beside them are read all the same."""
    found = damaged_notes(folder, stack)
    for path in found:
        log.info("removing %s, which was cut off while it was written", path.name)
        path.unlink(missing_ok=True)
    return len(found)


def _concerns(path: Path, stack: str) -> bool:
    """Whether a file of the backend is this stack's, or the backend's own."""
    return len(path.parts) == 1 or stack in path.parts or path.name.startswith(f"{stack}.json")


def end_leftovers(backend_url: str, stack: str) -> int:
    """Kill plugins and language hosts of this stack whose engine is gone; return how many."""
    found = leftovers(backend_url, stack)
    for pid in found:
        log.info("ending process %d, left behind by a pulumi that has ended", pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(found)


def leftovers(backend_url: str, stack: str) -> tuple[int, ...]:
    """Return plugins and language hosts of this stack whose engine is gone.

    Those of an engine that has only just ended, as ours after each run, end with it in a moment:
    they are waited for.
    """
    ends = time.monotonic() + ENDING_S
    while True:
        processes = _processes_of(backend_url, stack)
        found = tuple(pid for pid in processes if not _has_engine(pid))
        if not found or time.monotonic() > ends:
            return found
        time.sleep(0.05)


def _processes_of(backend_url: str, stack: str) -> list[int]:
    """Return processes that Pulumi starts, with this stack in their environment.

    The backend alone does not tell: several sites may keep their stacks in one.
    """
    wanted = {f"PULUMI_BACKEND_URL={backend_url}".encode(), f"PULUMI_STACK={stack}".encode()}
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes().split(b"\0")
            if any(_is_pulumis(word) for word in words[:4]) and wanted <= set(environment):
                found.append(int(folder.name))
    return found


def _is_pulumis(word: bytes) -> bool:
    return word == b"pulumi.dynamic" or Path(os.fsdecode(word)).name.startswith(
        ("pulumi-language-", "pulumi-resource-")
    )


def _has_engine(pid: int) -> bool:
    """Whether a ``pulumi`` stands above a process."""
    while pid > 1:
        stat = process_stat(pid)
        if stat is None:
            return False
        if stat[0] == ENGINE:
            return True
        pid = stat[1]
    return False
