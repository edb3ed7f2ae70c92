"""Every kind of drift, made by hand at vCenter, is reported; a site as deployed has none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from permafrost.planning.cluster import RESPECT_RULES
from permafrost.planning.drift import Baseline, find_drift
from permafrost.planning.drift_report import Drift, DriftCode
from permafrost.planning.ownership import category_name
from tests.contract.vsphere.byhand import GPUS, ByHand
from tests.contract.vsphere.person import MEMORY_MIB

ONE, TWO, THREE = "lab-chat-01", "lab-chat-02", "lab-chat-03"
ALL = [ONE, TWO, THREE]
Deed = Callable[[ByHand], None]


def off_then(*deeds: Callable[[ByHand], None]) -> Deed:
    def do(person: ByHand) -> None:
        person.power_off(ONE)
        for deed in deeds:
            deed(person)
        person.power_on(ONE)

    return do


def stranger_takes_the_device(person: ByHand) -> None:
    person.make("somebody-elses", 0, (GPUS[0],))


def together(person: ByHand) -> None:
    """The rule is taken away, a replica moved, the rule put back: vCenter moves nothing."""
    person.remove_rule()
    person.power_off(ONE)
    person.swap_device(ONE, GPUS[1])
    person.move(ONE, 1)
    person.power_on(ONE)
    person.rule("add", ALL)


def half_made(person: ByHand) -> None:
    """Leave what an interrupted run leaves: the clone, without device, reservation or power."""
    destroyed(person)
    person.make(ONE, 0, reserved_mib=0)


def destroyed(person: ByHand) -> None:
    person.power_off(ONE)
    person.destroy(ONE)


DEEDS: dict[str, tuple[Deed, set[DriftCode]]] = {
    "nothing": (lambda _: None, set()),
    "an edge moves": (lambda p: p.move("lab-edge-01", 0), set()),
    "together": (together, {DriftCode.TOGETHER, DriftCode.DEVICE_MOVED}),
    "rule removed": (lambda p: p.remove_rule(), {DriftCode.RULE_MISSING}),
    "rule disabled": (lambda p: p.rule("edit", ALL, enabled=False), {DriftCode.RULE_DISABLED}),
    "rule a preference": (
        lambda p: p.rule("edit", ALL, mandatory=False),
        {DriftCode.RULE_NOT_MANDATORY},
    ),
    "rule without a member": (lambda p: p.rule("edit", [ONE, TWO]), {DriftCode.RULE_MEMBERS}),
    "rule against": (lambda p: p.keep_together([ONE, TWO]), {DriftCode.RULE_AGAINST}),
    "device moved": (
        off_then(lambda p: p.swap_device(ONE, GPUS[1])),
        {DriftCode.DEVICE_MOVED},
    ),
    "device taken by a VM that is off": (stranger_takes_the_device, {DriftCode.DEVICE_TAKEN}),
    "reservation lost": (
        lambda p: p.reserve(ONE, MEMORY_MIB // 2),
        {DriftCode.RESERVATION_LOST},
    ),
    "VM off": (lambda p: p.power_off(ONE), {DriftCode.VM_OFF}),
    "edge off": (lambda p: p.power_off("lab-edge-01"), {DriftCode.VM_OFF}),
    "VM destroyed": (destroyed, {DriftCode.VM_MISSING}),
    "made anew, by half": (
        half_made,
        {DriftCode.VM_UNFINISHED, DriftCode.RULE_MEMBERS, DriftCode.OWNER_UNMARKED},
    ),
    "DRS level": (
        lambda p: p.drs(defaultVmBehavior="partiallyAutomated"),
        {DriftCode.DRS_CHANGED},
    ),
    "DRS off": (lambda p: p.drs(enabled=False), {DriftCode.DRS_CHANGED}),
    "DRS moves a bound VM": (
        lambda p: p.override_drs(ONE, "fullyAutomated"),
        {DriftCode.DRS_OVERRIDE},
    ),
    "DRS off for an edge": (
        lambda p: p.override_drs("lab-edge-01", "manual"),
        {DriftCode.DRS_CHANGED},
    ),
    "HA restarts a bound VM": (lambda p: p.override_ha(ONE, "high"), {DriftCode.HA_OVERRIDE}),
    "overrides dropped": (
        lambda p: p.drop_overrides(ONE),
        {DriftCode.DRS_OVERRIDE, DriftCode.HA_OVERRIDE},
    ),
    "attribute changed": (
        lambda p: p.set_attribute(ONE, "permafrost-lab-role", "somebody's"),
        {DriftCode.OWNER_UNMARKED},
    ),
    "tag taken off": (lambda p: p.untag("lab-edge-01", "edge"), {DriftCode.OWNER_UNMARKED}),
    "HA off": (lambda p: p.ha(enabled=False), {DriftCode.HA_CHANGED}),
    "no admission control": (
        lambda p: p.ha(admissionControlEnabled=False),
        {DriftCode.HA_CHANGED},
    ),
    "HA ignores rules": (lambda p: p.ha({RESPECT_RULES: "false"}), {DriftCode.HA_CHANGED}),
}


@pytest.mark.exhaustive(18)
@pytest.mark.parametrize("name", DEEDS)
def test_what_a_person_does_by_hand_is_reported(person: ByHand, name: str) -> None:
    recorded = person.deploy()
    before = person.hypervisor.observe()
    baseline = Baseline.of(person.site, before)

    def drift() -> tuple[Drift, ...]:
        seen = person.hypervisor.observe()
        return find_drift(
            person.site,
            seen,
            recorded=recorded,
            baseline=baseline,
            tagged=person.hypervisor.tagged(category_name(person.site)),
        )

    assert drift() == ()
    deed, codes = DEEDS[name]
    deed(person)
    found = drift()
    assert {d.code for d in found} == codes, found
    assert all(d.hint and d.seen and d.wanted for d in found)


def test_every_kind_of_drift_is_made_by_hand() -> None:
    elsewhere = {
        DriftCode.OUTSIDE_DOMAIN,  # test_domains.py
        DriftCode.VGPU_CHANGED,  # test_vgpu.py
        DriftCode.VGPU_MISSING,
    }
    assert set().union(elsewhere, *(codes for _, codes in DEEDS.values())) == set(DriftCode)


def test_an_observation_shows_where_each_vm_stands(person: ByHand) -> None:
    recorded = person.deploy()
    seen = person.hypervisor.observe()
    vm = seen.vm(TWO)
    assert vm is not None
    slot = recorded[TWO]
    assert (vm.host, vm.gpus, vm.is_on) == (slot.host, slot.gpus, True)
    assert (vm.datastores, vm.networks) == (("LocalDS_0",), ())
    assert (vm.memory_mib, vm.is_fully_reserved, vm.firmware) == (MEMORY_MIB, True, "efi")
    assert (vm.drs_override, vm.ha_override) == ("manual", "disabled")
    assert dict(vm.attributes)["permafrost-lab-role"] == "replica of chat"
    assert [r.vms for r in seen.rules_of(TWO)] == [set(ALL)]
    host = seen.host(slot.host)
    assert host is not None
    assert [
        (g.used_by, g.is_passthrough) for g in host.gpus if g.vendor_device == "10de:2330"
    ] == [
        (TWO, True),
        ("", True),
    ]
    datastore = seen.datastore("LocalDS_0")
    assert datastore is not None
    assert slot.host in datastore.hosts
