"""Faults of one systemd unit of a machine, made from inside its namespaces."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from lab.errors import LabError
from lab.hypervisor import guest
from lab.hypervisor.machine import Machine, machines
from lab.instance.commands import run
from lab.instance.model import Instance

TIMEOUT_S = 120.0


def _split(instance: Instance, target: str) -> tuple[Machine, str]:
    name, _, unit = target.partition(":")
    if name not in {m.name for m in machines(instance)} or not unit:
        raise LabError(
            "TARGET_INVALID",
            f"{target!r} is not machine:unit of this lab",
            "for example lab-chat-01:triton-a.service",
        )
    return Machine(instance, name), unit


def prepare(instance: Instance, target: str) -> dict[str, str]:
    """Check that the unit is active; nothing else is needed to heal."""
    machine, unit = _split(instance, target)
    state = _inside(machine, ["systemctl", "show", "--property=LoadState", "--value", unit])
    if state.strip() != "loaded":
        raise LabError("UNIT_UNKNOWN", f"{machine.name} has no unit {unit} ({state.strip()})")
    return {}


def systemctl(instance: Instance, target: str, verb: str, *options: str) -> None:
    """Run one systemctl verb on the unit."""
    machine, unit = _split(instance, target)
    _inside(machine, ["systemctl", verb, *options, unit])


def start_again(instance: Instance, target: str, undo: Mapping[str, str]) -> None:
    """Start the unit where its own restart policy has not done so."""
    del undo
    machine, unit = _split(instance, target)
    with suppress(LabError):
        _inside(machine, ["systemctl", "reset-failed", unit])
    _inside(machine, ["systemctl", "start", unit])


def _inside(machine: Machine, argv: list[str]) -> str:
    init = guest.init_pid(machine)
    if init is None:
        raise LabError("MACHINE_IS_OFF", f"{machine.name} is off", "switch it on in vCenter")
    enter = ["nsenter", "--target", str(init), "--mount", "--uts", "--ipc", "--net", "--pid"]
    return run([*enter, "--", *argv], timeout_s=TIMEOUT_S)
