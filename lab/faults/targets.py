"""What a fault is aimed at: a machine, a unit of one, or two ends of the network."""

from __future__ import annotations

from lab.errors import LabError
from lab.hypervisor import guest
from lab.hypervisor.machine import Machine, machines
from lab.instance.commands import run
from lab.instance.model import Instance

TIMEOUT_S = 120.0
GATEWAY = "gateway"


def machine(instance: Instance, name: str) -> Machine:
    """Return a machine that exists. Raises LabError naming those that do."""
    known = {m.name: m for m in machines(instance)}
    if name not in known:
        raise LabError(
            "MACHINE_UNKNOWN",
            f"there is no machine {name}",
            f"there are: {', '.join(known) or 'none'}",
        )
    return known[name]


def running_machine(instance: Instance, name: str) -> Machine:
    """Return a machine that is on. Raises LabError when it is off or unknown."""
    found = machine(instance, name)
    if not found.is_on:
        raise LabError("MACHINE_IS_OFF", f"{name} is off", "choose one that is on")
    return found


def inside(node: Machine, *argv: str, stdin: str | None = None) -> str:
    """Run a command in the guest. Raises LabError when the machine is off or it fails."""
    init = guest.init_pid(node)
    if init is None:
        raise LabError("MACHINE_IS_OFF", f"{node.name} is off", "switch it on in vCenter")
    enter = ["nsenter", "--target", str(init), "--mount", "--uts", "--ipc", "--net", "--pid"]
    return run([*enter, "--", *argv], stdin=stdin, timeout_s=TIMEOUT_S)


def unit(instance: Instance, target: str) -> tuple[Machine, str]:
    """Return machine and unit of ``machine:unit``. Raises LabError when it is no such thing."""
    name, _, wanted = target.partition(":")
    if name not in {m.name for m in machines(instance)} or not wanted:
        raise LabError(
            "TARGET_INVALID",
            f"{target!r} is not machine:unit of this lab",
            "for example lab-chat-01:triton-a.service",
        )
    return Machine(instance, name), wanted


def loaded_unit(instance: Instance, target: str) -> tuple[Machine, str]:
    """Return machine and unit that the guest knows. Raises LabError when it does not."""
    node, wanted = unit(instance, target)
    state = load_state(node, wanted)
    if state != "loaded":
        raise LabError(
            "UNIT_UNKNOWN",
            f"{node.name} has no unit {wanted} ({state})",
            "`systemctl list-units` there shows those that it has",
        )
    return node, wanted


def load_state(node: Machine, wanted: str) -> str:
    """Return what systemd in the guest says of a unit: ``loaded``, ``not-found``, ``masked``."""
    return inside(node, "systemctl", "show", "--property=LoadState", "--value", wanted).strip()


def services(instance: Instance) -> dict[str, int]:
    """Return the TCP ports of the lab's own servers by name."""
    ports = instance.allocation
    return {
        "vcenter": ports.vcenter_port,
        "registry": ports.registry_port,
        "packages": ports.packages_port,
    }


def pair(instance: Instance, target: str) -> tuple[str, str]:
    """Return the two ends of ``A:B``: a machine, and a machine, a server or ``gateway``.

    Raises LabError when an end is unknown, both are the same or neither is a machine.
    """
    first, _, second = target.partition(":")
    ends = [first, second]
    others = {*services(instance), GATEWAY}
    if first in others:
        ends.reverse()
    if not first or not second or first == second or ends[0] in others:
        raise LabError(
            "TARGET_INVALID",
            f"{target!r} is not two ends of this lab's network",
            f"write machine:machine, or machine:{'|'.join(sorted(others))}",
        )
    machine(instance, ends[0])
    if ends[1] not in others:
        machine(instance, ends[1])
    return ends[0], ends[1]


def address(instance: Instance, end: str) -> str:
    """Return the IPv4 address of an end of the network. Raises LabError where it has none."""
    if end in services(instance) or end == GATEWAY:
        return instance.gateway
    seen = guest.network(running_machine(instance, end))
    if seen is None:
        raise LabError("MACHINE_HAS_NO_ADDRESS", f"{end} has no address", "wait until it has")
    return seen.address
