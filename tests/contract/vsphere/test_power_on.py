"""A VM that vCenter would stop at power-on is explained beforehand, with the same cause."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from permafrost.errors import Failed
from permafrost.planning.preflight_power import Starting, power_on_checks
from permafrost.planning.preflight_report import PreflightLevel
from permafrost.planning.snapshot import Inventory
from permafrost.topology import replicas
from tests.contract.vsphere.byhand import GPUS, ByHand
from tests.contract.vsphere.person import MEMORY_MIB

ONE, TWO = "lab-chat-01", "lab-chat-02"
Deed = Callable[[ByHand], None]

CAUSES = {
    "PREFLIGHT_HOST_DOWN": "remote host, since it is disconnected",
    "PREFLIGHT_HOST_MAINTENANCE": "in maintenance mode",
    "PREFLIGHT_RULE_BROKEN": "keeps it apart from",
    "PREFLIGHT_HOST_RULE_BROKEN": "would violate a virtual machine - host affinity rule",
    "PREFLIGHT_DEVICE_MISSING": "has no passthrough device",
    "PREFLIGHT_DEVICE_TAKEN": "is already in use by",
    "PREFLIGHT_MEMORY_NOT_RESERVED": r"memory reservation .* should be equal to memsize",
}
"""What vCenter says for each of our codes."""


def host_down(person: ByHand) -> None:
    person.disconnect(0)


def beside_a_member(person: ByHand) -> None:
    """Move it, off and with the other device, to the host of another member."""
    person.swap_device(ONE, GPUS[1])
    person.move(ONE, 1)


def device_taken(person: ByHand) -> None:
    person.make("somebody-elses", 0, (GPUS[0],))
    person.power_on("somebody-elses")


DEEDS: dict[str, tuple[Deed, str]] = {
    "host down": (host_down, "PREFLIGHT_HOST_DOWN"),
    "host in maintenance": (lambda p: p.enter_maintenance(0), "PREFLIGHT_HOST_MAINTENANCE"),
    "rule": (beside_a_member, "PREFLIGHT_RULE_BROKEN"),
    "rule of hosts": (
        lambda p: p.keep_on_hosts("add", "elsewhere", [ONE], [1]),
        "PREFLIGHT_HOST_RULE_BROKEN",
    ),
    "no such device": (
        lambda p: p.swap_device(ONE, "0000:99:00.0"),
        "PREFLIGHT_DEVICE_MISSING",
    ),
    "device taken": (device_taken, "PREFLIGHT_DEVICE_TAKEN"),
    "reservation": (
        lambda p: p.reserve(ONE, MEMORY_MIB // 2),
        "PREFLIGHT_MEMORY_NOT_RESERVED",
    ),
}


def problems(inventory: Inventory, name: str) -> list[str]:
    vm = inventory.vm(name)
    assert vm is not None
    checks = power_on_checks(Starting.of(vm), inventory)
    return [c.code for c in checks if c.level is PreflightLevel.PROBLEM]


@pytest.mark.parametrize("name", DEEDS)
def test_the_preflight_names_the_cause_that_vcenter_then_gives(person: ByHand, name: str) -> None:
    person.deploy()
    person.power_off(ONE)
    assert problems(person.hypervisor.observe(), ONE) == []
    deed, code = DEEDS[name]
    deed(person)
    found = problems(person.hypervisor.observe(), ONE)
    with pytest.raises(Failed) as caught:
        person.hypervisor.power_on(ONE, deadline_s=20)
    said = caught.value.problems[0].message
    assert re.search(CAUSES[code], said), said
    assert found[0] == code, (found, said)


def test_every_cause_that_vcenter_can_give_is_tried() -> None:
    assert {code for _, code in DEEDS.values()} == set(CAUSES)


def test_without_a_cause_it_starts(person: ByHand) -> None:
    """The control: what the preflight lets through, vCenter does too."""
    person.deploy()
    person.power_off(ONE)
    assert problems(person.hypervisor.observe(), ONE) == []
    person.hypervisor.power_on(ONE, deadline_s=20)
    seen = person.hypervisor.observe()
    assert all(vm.is_on for vm in seen.vms)
    assert len(replicas(person.site, "chat")) == 3
