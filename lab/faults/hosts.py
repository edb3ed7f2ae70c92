"""An ESXi host that vanishes without a word.

Its machines' ports first drop everything both ways, ARP included; vCenter learns that the host
does not answer; only then do the machines end. Nobody is told by a reset, a FIN or an
unreachable message. While they end their power switches are held, so that what vSphere HA
restarts elsewhere starts anew and is not taken for the one that is dying.
"""

from __future__ import annotations

from contextlib import ExitStack

from lab.errors import LabError
from lab.faults.model import Options, Undo
from lab.hypervisor import power
from lab.hypervisor.machine import Machine, machines
from lab.instance import network
from lab.instance.model import Instance
from lab.instance.spawn import locked
from lab.services import admin, inventory, vcenter


def prepare(instance: Instance, target: str, options: Options) -> dict[str, str]:
    """Find the machines of the host. Raises LabError for an unknown host or a silent vCenter."""
    del options
    hosts = vcenter.hosts_of(instance)
    if target not in hosts:
        raise LabError(
            "HOST_UNKNOWN", f"there is no host {target}", f"there are: {', '.join(hosts)}"
        )
    seen = inventory.read(instance)
    if target not in seen.hosts:
        raise LabError(
            "VCENTER_ABSENT",
            "vCenter does not answer, so nobody knows which machines the host has",
            "heal vcenter-away, or run permafrost-lab up",
        )
    return {"machines": ",".join(m.name for m in _machines_of(instance, target, seen.host_of))}


def _machines_of(instance: Instance, host: str, host_of: dict[str, str]) -> list[Machine]:
    found = []
    for each in machines(instance):
        spec = each.spec()
        if each.is_on and (host_of.get(each.name) or (spec.host if spec else "")) == host:
            found.append(each)
    return found


def lose(instance: Instance, target: str, undo: Undo) -> None:
    """Lose the host."""
    lost = [Machine(instance, name) for name in undo["machines"].split(",") if name]
    for node in lost:
        network.cut(instance.id, node.name)
    with ExitStack() as held:
        for node in lost:
            held.enter_context(locked(node.lock_file))
        admin.lose_host(instance, target)
        for node in lost:
            power.end(node)
        # The dead send nothing any more, and HA may start them again on another host.
        for node in lost:
            network.restore(instance.id, node.name)


def prepare_disconnect(instance: Instance, target: str, options: Options) -> dict[str, str]:
    """Check that vCenter knows the host and is in touch with it."""
    prepare(instance, target, options)
    state = inventory.read(instance).hosts[target]
    if state != "connected":
        raise LabError("HOST_OUT_OF_TOUCH", f"{target} is {state} already", "heal that first")
    return {}


def disconnect(instance: Instance, target: str, undo: Undo) -> None:
    """Let vCenter and the host's agent lose touch; the machines go on running."""
    del undo
    admin.disconnect_host(instance, target)


def reconnect(instance: Instance, target: str, undo: Undo) -> None:
    """Bring the host's agent back into touch."""
    del undo
    admin.regain_host(instance, target)


def regain(instance: Instance, target: str, undo: Undo) -> None:
    """Let the host come back; its machines stay as they are."""
    for name in undo["machines"].split(","):
        if name:
            network.restore(instance.id, name)
    admin.regain_host(instance, target)
