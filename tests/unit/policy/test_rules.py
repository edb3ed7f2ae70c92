"""The policy pack's rules, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from permafrost.planning.domains import DomainRule
from policy.rules import APART, CONVERGENCE, RULES, VM, VM_HOST

DIGEST = "sha256:" + "a" * 64
GOOD_VM = {
    "memory": 4096,
    "memoryReservation": 4096,
    "memoryReservationLockedToMax": True,
    "pciDeviceIds": ["0000:3b:00.0"],
    "forcePowerOff": False,
    "disks": [{"label": "disk0", "unitNumber": 0}],
}
GOOD = {
    VM: GOOD_VM,
    APART: {"mandatory": True, "enabled": True},
    VM_HOST: {"name": "keep-in-oslo-a", "mandatory": True, "enabled": True},
    CONVERGENCE: {"checkpoint": DIGEST, "image": DIGEST},
}
DATA = {"disks": [{"label": "disk0", "unitNumber": 0}, {"label": "data0", "unitNumber": 1}]}


def broken(type_: str, *, protect: bool = False, **change: Any) -> set[str]:
    inputs = {**GOOD[type_], **change}
    return {r.name for r in RULES if r.violations(type_, inputs, protect=protect)}


@pytest.mark.parametrize("type_", GOOD)
def test_what_is_well_breaks_no_rule(type_: str) -> None:
    assert broken(type_) == set()


@pytest.mark.parametrize(
    ("type_", "change", "rule"),
    [
        (APART, {"mandatory": False}, "mandatory-rules"),
        (APART, {"mandatory": None}, "mandatory-rules"),
        (APART, {"enabled": False}, "mandatory-rules"),
        (VM_HOST, {"mandatory": False}, "mandatory-host-rules"),
        (VM_HOST, {"enabled": False}, "mandatory-host-rules"),
        (VM_HOST, {"name": "keep-edges-in-oslo-a", "enabled": False}, "mandatory-host-rules"),
        (VM, {"memoryReservation": 4095}, "full-reservation"),
        (VM, {"memoryReservation": None}, "full-reservation"),
        (VM, {"memoryReservationLockedToMax": False}, "full-reservation"),
        (VM, {"forcePowerOff": True}, "no-force-power-off"),
        (VM, {"forcePowerOff": None}, "no-force-power-off"),
        (VM, DATA, "protected-data"),
        (CONVERGENCE, {"checkpoint": "latest"}, "digest-pins"),
        (CONVERGENCE, {"image": "sha256:short"}, "digest-pins"),
        (CONVERGENCE, {"image": ""}, "digest-pins"),
    ],
)
def test_each_rule_is_broken_by_its_own(type_: str, change: dict[str, Any], rule: str) -> None:
    assert broken(type_, **change) == {rule}


def test_data_that_is_protected_and_a_vm_without_a_device_are_well() -> None:
    assert broken(VM, protect=True, **DATA) == set()
    assert broken(VM, pciDeviceIds=[], memoryReservation=None) == set()


def test_edges_prefer_their_rack_and_may_leave_it() -> None:
    assert broken(VM_HOST, name="keep-edges-in-oslo-a", mandatory=False) == set()


def test_an_edge_serves_no_checkpoint_and_pins_none() -> None:
    assert broken(CONVERGENCE, checkpoint="", image="") == set()


def test_other_resources_are_none_of_its_business() -> None:
    assert not any(r.violations("vsphere:index/folder:Folder", {}) for r in RULES)


def test_the_pack_knows_edges_rules_by_the_name_that_the_program_gives_them() -> None:
    of_edges = DomainRule("oslo", "a", (), (), is_mandatory=False).name
    assert broken(VM_HOST, name=of_edges, mandatory=False) == set()
    of_others = DomainRule("oslo", "a", (), ()).name
    assert broken(VM_HOST, name=of_others, mandatory=False) == {"mandatory-host-rules"}
