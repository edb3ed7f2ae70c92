"""The kinds of fault: how each is applied and healed.

Losing a host is silent. Its machines' ports first drop everything both ways, ARP included, and
only then do the machines end: nobody is told by a reset, a FIN or an unreachable message. The
other faults are smaller things: a power cord pulled, a guest that hangs, a cable, a service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab.errors import LabError
from lab.faults import services
from lab.hypervisor import power
from lab.hypervisor.machine import Machine, machines
from lab.instance import network
from lab.instance.model import Instance
from lab.services import admin, inventory, vcenter


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    ``prepare`` checks the target and returns what healing will need; ``apply`` and ``heal`` may
    each be repeated.
    """

    about: str
    prepare: Callable[[Instance, str], dict[str, str]]
    apply: Callable[[Instance, str, Mapping[str, str]], None]
    heal: Callable[[Instance, str, Mapping[str, str]], None]


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


def _running_machine(instance: Instance, target: str) -> dict[str, str]:
    if not machine(instance, target).is_on:
        raise LabError("MACHINE_IS_OFF", f"{target} is off", "choose one that is on")
    return {}


def _existing_machine(instance: Instance, target: str) -> dict[str, str]:
    machine(instance, target)
    return {}


def _nothing(instance: Instance, target: str, undo: Mapping[str, str]) -> None:
    """Healing is another's work: who wants the machine back switches it on in vCenter."""


def _host(instance: Instance, target: str) -> dict[str, str]:
    if target not in vcenter.HOSTS:
        raise LabError(
            "HOST_UNKNOWN", f"there is no host {target}", f"there are: {', '.join(vcenter.HOSTS)}"
        )
    return {"machines": ",".join(m.name for m in _machines_of(instance, target))}


def _machines_of(instance: Instance, host: str) -> list[Machine]:
    seen = inventory.read(instance).host_of
    found = []
    for each in machines(instance):
        spec = each.spec()
        if each.is_on and (seen.get(each.name) or (spec.host if spec else "")) == host:
            found.append(each)
    return found


def _lose_host(instance: Instance, target: str, undo: Mapping[str, str]) -> None:
    names = [name for name in undo["machines"].split(",") if name]
    for name in names:
        network.cut(instance.id, name)
    for name in names:
        power.power_off(Machine(instance, name))
    # The dead send nothing any more, and vSphere HA may start them again on another host.
    for name in names:
        network.restore(instance.id, name)
    admin.lose_host(instance, target)


def _regain_host(instance: Instance, target: str, undo: Mapping[str, str]) -> None:
    for name in undo["machines"].split(","):
        if name:
            network.restore(instance.id, name)
    admin.regain_host(instance, target)


KINDS: dict[str, Kind] = {
    "host-lost": Kind(
        "an ESXi host and all its machines vanish without a word",
        _host,
        _lose_host,
        _regain_host,
    ),
    "machine-kill": Kind(
        "a machine's power cord is pulled",
        _running_machine,
        lambda instance, target, _: power.power_off(Machine(instance, target)),
        _nothing,
    ),
    "machine-freeze": Kind(
        "a machine hangs",
        _running_machine,
        lambda instance, target, _: Machine(instance, target).group.freeze(on=True),
        lambda instance, target, _: Machine(instance, target).group.freeze(on=False),
    ),
    "machine-cut": Kind(
        "a machine's network drops everything both ways",
        _existing_machine,
        lambda instance, target, _: network.cut(instance.id, target),
        lambda instance, target, _: network.restore(instance.id, target),
    ),
    "service-stop": Kind(
        "a unit of a machine is stopped as an administrator would (TARGET: machine:unit)",
        services.prepare,
        lambda instance, target, _: services.systemctl(instance, target, "stop"),
        lambda instance, target, _: services.systemctl(instance, target, "start"),
    ),
    "service-kill": Kind(
        "every process of a unit is killed at once (TARGET: machine:unit)",
        services.prepare,
        lambda instance, target, _: services.systemctl(
            instance, target, "kill", "--signal=SIGKILL"
        ),
        services.start_again,
    ),
}
