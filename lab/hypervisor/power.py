"""The power switch of the lab's machines.

Each verb may run twice at once or be killed at any point: what is true is read from the
machine's control group, and only the short start itself is under the machine's lock.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.hypervisor import guest, guestinfo
from lab.hypervisor.machine import Machine, Spec
from lab.instance import naming
from lab.instance.commands import run
from lab.instance.spawn import locked, spawn
from lab.instance.waiting import wait_until

log = logging.getLogger(__name__)

BOOT_SCRIPT = Path(__file__).with_name("boot.sh")
START_TIMEOUT_S = 10.0
ADDRESS_TIMEOUT_S = 60.0
SETTLE_TIMEOUT_S = 30.0
SHUTDOWN_TIMEOUT_S = 180.0
# What systemd as a first process takes for "power off".
HALT = signal.SIGRTMIN + 4
NSPAWN_ENVIRONMENT = {
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
    "SYSTEMD_SECCOMP": "0",
    # The machine has a lock of its own; nspawn leaves its file behind when it is killed.
    "SYSTEMD_NSPAWN_LOCK": "0",
}


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a power-on waits for the guest."""

    address_s: float = ADDRESS_TIMEOUT_S
    settle_s: float = SETTLE_TIMEOUT_S


def power_on(
    machine: Machine, spec: Spec, timeouts: Timeouts | None = None
) -> guest.GuestNetwork | None:
    """Start the machine if it is off; return its network once it has one and has settled.

    None when the guest runs but never got an address (as a VM without network configuration).
    Raises LabError when the machine does not stay on.
    """
    timeouts = timeouts or Timeouts()
    start(machine, spec)

    def settled() -> tuple[guest.GuestNetwork | None] | None:
        seen = guest.network(machine)
        return (seen,) if seen or not machine.is_on else None

    answer = wait_until(settled, timeouts.address_s, 0.1)
    if answer is None:
        log.warning("%s has no address after %.0f s", machine.name, timeouts.address_s)
        return None
    found = answer[0]
    if found is None:
        raise _did_not_stay_on(machine)
    if not wait_until(lambda: guest.has_settled(machine), timeouts.settle_s, 0.1):
        log.warning("%s: has not settled after %.0f s", machine.name, timeouts.settle_s)
    return guest.network(machine) or found


def start(machine: Machine, spec: Spec) -> None:
    """Start the machine's processes unless they run."""
    with locked(machine.lock_file) as lock:
        if machine.is_on:
            return
        machine.write(spec, guestinfo.environment_file(spec.extra_config))
        lower = machine.lower()
        machine.group.create()
        machine.group.prune()
        groups = [machine.group.path]
        limit = _limit_memory(machine, spec.memory_mib)
        if limit is not None:
            groups.append(limit)
        machine.console_log.unlink(missing_ok=True)
        outer = os.open("/proc/self/ns/net", os.O_RDONLY)
        try:
            spawn(
                [
                    *("unshare", "--mount", "--net", "--propagation", "slave"),
                    *("/bin/sh", str(BOOT_SCRIPT), str(machine.folder), str(lower)),
                    naming.link_name(machine.instance.id, machine.name),
                    machine.instance.allocation.bridge,
                    spec.mac,
                    f"/proc/self/fd/{outer}",
                    *machine.command(spec),
                ],
                groups=groups,
                lock=lock,
                log=machine.console_log,
                env={**os.environ, **NSPAWN_ENVIRONMENT},
                keep=(outer,),
            )
        finally:
            os.close(outer)
        if not wait_until(lambda: machine.is_on, START_TIMEOUT_S, 0.005):
            raise _did_not_stay_on(machine)


def _did_not_stay_on(machine: Machine) -> LabError:
    with suppress(OSError):
        text = machine.console_log.read_text(errors="replace")
        tail = [line.strip() for line in text.splitlines() if line.strip()][-12:]
        return LabError(
            "MACHINE_DID_NOT_START",
            f"{machine.name} ended: {' / '.join(tail)}",
            f"read {machine.console_log}",
        )
    return LabError(
        "MACHINE_DID_NOT_START",
        f"{machine.name} ended at once",
        "power it on again; is there memory, and the base image?",
    )


def _limit_memory(machine: Machine, memory_mib: int) -> Path | None:
    group = machine.memory_group
    size = str(memory_mib * 1024 * 1024)
    if group is not None:
        group.mkdir(parents=True, exist_ok=True)
        (group / "memory.limit_in_bytes").write_text(size)
        return group
    with suppress(OSError):
        (machine.group.path / "memory.max").write_text(size)
    return None


def power_off(machine: Machine) -> None:
    """Pull the plug: every process of the machine ends at once."""
    with locked(machine.lock_file):
        end(machine)


def end(machine: Machine) -> None:
    """End every process of a machine. The caller holds the machine's lock."""
    if not machine.group.kill():
        raise LabError(
            "MACHINE_DOES_NOT_DIE",
            f"{machine.name} still has processes",
            "look for a process in state D: `ps -eo pid,stat,comm`",
        )
    machine.group.freeze(on=False)
    run(["sh", "-c", 'ip link delete "$0" 2>/dev/null || :', _link(machine)])


def _link(machine: Machine) -> str:
    return naming.link_name(machine.instance.id, machine.name)


def shut_down(machine: Machine, timeout_s: float = SHUTDOWN_TIMEOUT_S) -> bool:
    """Ask the guest to power off; True when it is down in time.

    Down is the boot that was asked: one that somebody starts meanwhile is another.
    """
    if not machine.is_on:
        return True
    first = 0

    def asked() -> bool | None:
        nonlocal first
        init = guest.init_pid(machine)
        if init is None:
            return True if not machine.is_on else None
        first = init
        pid = guest.nspawn_pid(machine)
        with suppress(ProcessLookupError):
            if pid is not None:
                os.kill(pid, signal.SIGTERM)
            else:  # its supervisor was killed: the guest is asked itself
                os.kill(init, HALT)
        return True

    # A machine just switched on has no first process yet.
    if not wait_until(asked, 10, 0.05):
        return False

    def down() -> bool:
        return not machine.is_on or guest.init_pid(machine) not in (None, first)

    return bool(wait_until(down, timeout_s, 0.05))


def destroy(machine: Machine) -> None:
    """Switch off and remove the machine's files and groups."""
    with locked(machine.lock_file):
        end(machine)
        machine.record.unlink(missing_ok=True)
        shutil.rmtree(machine.folder, ignore_errors=True)
        if machine.folder.exists():
            raise LabError(
                "MACHINE_FILES_REMAIN",
                f"{machine.folder} cannot be removed",
                "what is mounted below it? unmount, then remove it by hand",
            )
        machine.group.remove()
        if machine.memory_group is not None and machine.memory_group.exists():
            wait_until(lambda: _removed(machine.memory_group), 5)


def _removed(folder: Path | None) -> bool:
    if folder is None:
        return True
    for inner, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            Path(inner).rmdir()
    return not folder.exists()
