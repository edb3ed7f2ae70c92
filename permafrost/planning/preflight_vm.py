"""What the program is about to ask of the provider for each VM: no surprise must be in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from permafrost.planning.preflight_report import PreflightCheck, check
from permafrost.ports import Change

SHUTDOWN_WAIT_MINUTES = range(1, 11)
"""What the provider takes as shutdown_wait_timeout."""


def program_checks(changes: Iterable[Change]) -> Iterator[PreflightCheck]:
    """Yield the checks of every VM that would be made or changed."""
    for change in changes:
        if change.operation.startswith("delete") or not change.new:
            continue
        new = change.new
        force = new.get("forcePowerOff", True)
        yield check(
            "PREFLIGHT_FORCE_POWER_OFF",
            change.name,
            force is False,
            seen=f"force_power_off is {'false' if force is False else 'true'}",
            needed="false: a guest that does not stop in time must not lose its power",
            hint="the provider's default is true; set it to false",
        )
        wait = new.get("shutdownWaitTimeout", 3)
        yield check(
            "PREFLIGHT_SHUTDOWN_WAIT",
            change.name,
            wait in SHUTDOWN_WAIT_MINUTES,
            seen=f"shutdown_wait_timeout is {wait} minutes",
            needed="1 to 10 minutes",
            hint="the drain comes before it, so the guest has nothing to finish",
        )
        yield check(
            "PREFLIGHT_FIRMWARE",
            change.name,
            new.get("firmware") == "efi",
            seen=f"firmware is {new.get('firmware', 'bios')}",
            needed="efi",
            hint="a passthrough device with a large BAR needs it",
        )
        if new.get("pciDeviceIds"):
            yield check(
                "PREFLIGHT_RESERVATION_ASKED",
                change.name,
                new.get("memoryReservation") == new.get("memory"),
                seen=f"{new.get('memoryReservation', 0)} of {new.get('memory')} MiB reserved",
                needed="all memory, locked to the VM's size",
                hint="set memory_reservation to memory and memory_reservation_locked_to_max",
            )
