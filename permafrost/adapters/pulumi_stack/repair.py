"""What a ``pulumi`` that was killed leaves behind, and how it is put right."""

from __future__ import annotations

import json
import logging
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permafrost.adapters.pulumi_stack.lifeline import ENGINE, process_stat
from permafrost.adapters.pulumi_stack.locks import stack_locks

log = logging.getLogger(__name__)
VM_TYPE = "vsphere:index/virtualMachine:VirtualMachine"


@dataclass(frozen=True, slots=True)
class Pending:
    """One operation that Pulumi had begun and never saw the end of."""

    operation: str
    type: str
    name: str

    def __str__(self) -> str:
        return f"{self.operation} {self.type.rpartition(':')[2]} {self.name}"


def remove_dead_locks(backend: Path, project: str, stack: str) -> int:
    """Remove locks whose process has ended on this machine; return how many."""
    dead = [lock for lock in stack_locks(backend, project, stack) if lock.is_dead()]
    for lock in dead:
        log.info("removing the lock of process %d, which has ended", lock.pid)
        lock.path.unlink(missing_ok=True)
    return len(dead)


def damaged_notes(backend: Path) -> tuple[Path, ...]:
    """Return notes beside Pulumi's files that were cut off while they were written.

    The file backend keeps type and checksum of each file in a second one, ``*.attrs``, which it
    does not write at once. An empty one makes every command fail with ``failed to load
    checkpoint: EOF``, although the state beside it is whole.
    """
    found = []
    for path in sorted((backend / ".pulumi").rglob("*.attrs")):
        try:
            json.loads(path.read_text())
        except ValueError:
            found.append(path)
        except FileNotFoundError:
            continue
    return tuple(found)


def remove_damaged_notes(backend: Path) -> int:
    """Remove such notes: without them the files beside them are read all the same."""
    found = damaged_notes(backend)
    for path in found:
        log.info("removing %s, which was cut off while it was written", path.name)
        path.unlink(missing_ok=True)
    return len(found)


def pending_operations(backend: Path, project: str, stack: str) -> tuple[Pending, ...]:
    """Return what the stack's state says was under way."""
    latest = _latest(backend, project, stack)
    return tuple(_pending(entry) for entry in latest.get("pending_operations") or ())


def known_vms(backend: Path, project: str, stack: str) -> frozenset[str]:
    """Return the names of the VMs that the stack's state knows, finished or not.

    By their type: the component around a VM bears its name too.
    """
    resources = _latest(backend, project, stack).get("resources") or ()
    return frozenset(str(r["urn"]).rsplit("::", 1)[-1] for r in resources if r["type"] == VM_TYPE)


def _latest(backend: Path, project: str, stack: str) -> dict[str, Any]:
    path = backend / ".pulumi" / "stacks" / project / f"{stack}.json"
    try:
        return json.loads(path.read_text())["checkpoint"]["latest"] or {}
    except FileNotFoundError:
        return {}


def end_leftovers(backend_url: str) -> int:
    """Kill plugins and language hosts of this stack whose engine is gone; return how many."""
    found = leftovers(backend_url)
    for pid in found:
        log.info("ending process %d, left behind by a pulumi that has ended", pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(found)


def leftovers(backend_url: str) -> tuple[int, ...]:
    """Return plugins and language hosts of this stack whose engine is gone."""
    return tuple(pid for pid in _processes_of(backend_url) if not _has_engine(pid))


def _pending(entry: dict[str, Any]) -> Pending:
    resource = entry["resource"]
    return Pending(
        str(entry["type"]), str(resource["type"]), str(resource["urn"]).rsplit("::", 1)[-1]
    )


def _processes_of(backend_url: str) -> list[int]:
    """Return processes that Pulumi starts, with this backend in their environment."""
    wanted = f"PULUMI_BACKEND_URL={backend_url}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if any(_is_pulumis(word) for word in words[:4]) and wanted in (
                folder / "environ"
            ).read_bytes().split(b"\0"):
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
