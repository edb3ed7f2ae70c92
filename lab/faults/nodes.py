"""Faults of a whole machine: power cord, hang, cable."""

from __future__ import annotations

from lab.faults import targets
from lab.faults.model import Options, Undo, nothing
from lab.hypervisor import power
from lab.hypervisor.machine import Machine
from lab.instance import network
from lab.instance.model import Instance

leave = nothing


def prepare(instance: Instance, target: str, options: Options) -> dict[str, str]:
    """Check that the machine exists."""
    targets.machine(instance, target)
    return dict(options)


def prepare_running(instance: Instance, target: str, options: Options) -> dict[str, str]:
    """Check that the machine is on."""
    targets.running_machine(instance, target)
    return dict(options)


def kill(instance: Instance, target: str, undo: Undo) -> None:
    """Pull the plug."""
    del undo
    power.power_off(Machine(instance, target))


def freeze(instance: Instance, target: str, undo: Undo) -> None:
    """Let every process of the machine stand still."""
    del undo
    Machine(instance, target).group.freeze(on=True)


def thaw(instance: Instance, target: str, undo: Undo) -> None:
    """Let the machine go on."""
    del undo
    Machine(instance, target).group.freeze(on=False)


def cut(instance: Instance, target: str, undo: Undo) -> None:
    """Drop every frame both ways."""
    del undo
    network.cut(instance.id, target)


def restore(instance: Instance, target: str, undo: Undo) -> None:
    """Carry frames again."""
    del undo
    network.restore(instance.id, target)
