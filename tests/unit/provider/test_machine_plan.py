"""Planning machines: disks by label, other clones, and which changes need a restart."""

from __future__ import annotations

from typing import Any

import pytest

from lab.provider.errors import ProviderError
from lab.provider.planning import plan as plan_table
from lab.provider.session import Operation
from lab.provider.vm.plan import diff, echoes, plan
from lab.provider.vm.schema import SCHEMA
from lab.provider.vm.update import changed_properties, needs_reboot

NO_VCENTER = Operation(None, "urn")  # type: ignore[arg-type]
DISKS = [
    {"label": "disk0", "size": 20, "unitNumber": 0, "thinProvisioned": True},
    {"label": "data0", "size": 10, "unitNumber": 1, "thinProvisioned": True},
]
INPUTS: dict[str, Any] = {
    "name": "vm",
    "resourcePoolId": "resgroup-1",
    "numCpus": 4,
    "memory": 4096,
    "firmware": "efi",
    "extraConfig": {"guestinfo.userdata": "a"},
    "extraConfigRebootRequired": True,
    "disks": DISKS,
    "networkInterfaces": [{"networkId": "network-1", "adapterType": "vmxnet3"}],
    "clone": {"templateUuid": "t1", "timeout": 30},
}


def state(**changes: Any) -> dict[str, Any]:
    known = plan_table(SCHEMA, None, {**INPUTS, **changes})
    for disk, key in zip(known["disks"], (204, 205), strict=True):
        disk["key"] = key
    clone = {**known["clone"], "ovfNetworkMap": {}, "ovfStorageMap": {}}
    return {**known, "id": "u", "clone": clone, "rebootRequired": False}


def planned(olds: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return plan(NO_VCENTER, olds, {**INPUTS, **changes})


def test_order_of_disks_is_no_change() -> None:
    olds = state()
    assert not diff(olds, planned(olds, disks=DISKS[::-1]), {}).changed


def test_a_disk_no_longer_named_shows_as_relabelled() -> None:
    olds = state()
    found = diff(olds, planned(olds, disks=DISKS[:1]), {})
    assert list(found.detail) == ["disks[1].label"]


def test_another_label_is_another_disk() -> None:
    olds = state()
    other = [DISKS[0], {**DISKS[1], "label": "other"}]
    assert sorted(diff(olds, planned(olds, disks=other), {}).detail) == [
        "disks[1].label",
        "disks[2]",
    ]


def test_a_disk_cannot_shrink() -> None:
    with pytest.raises(ProviderError, match="cannot be shrunk"):
        planned(state(), disks=[DISKS[0], {**DISKS[1], "size": 5}])


@pytest.mark.parametrize(
    ("disks", "reason"),
    [
        ([], "at least one disk"),
        ([DISKS[0], {**DISKS[1], "label": "disk0"}], "duplicate name disk0"),
        ([DISKS[0], {**DISKS[1], "unitNumber": 0}], "duplicate SCSI unit_number 0"),
        ([DISKS[1]], "must have a unit_number of 0"),
        ([{**DISKS[0], "size": 0}], "required option not set"),
    ],
)
def test_disks_that_cannot_be(disks: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(ProviderError, match=reason):
        planned(state(), disks=disks)


def test_another_template_is_another_machine_deleted_first() -> None:
    olds = state()
    found = diff(olds, planned(olds, clone={"templateUuid": "t2", "timeout": 30}), {})
    assert found.replaces == ["__meta"]
    assert found.delete_first


def test_another_timeout_of_the_clone_is_the_same_machine() -> None:
    olds = state()
    found = diff(olds, planned(olds, clone={"templateUuid": "t1", "timeout": 60}), {})
    assert found.replaces == []
    assert list(found.detail) == ["clone.timeout"]


def test_the_first_update_fills_in_two_maps() -> None:
    fresh = state() | {"clone": {"templateUuid": "t1", "ovfNetworkMap": None}}
    assert len(echoes(fresh, planned(fresh))) == 2
    assert echoes(state(), planned(state())) == {}


@pytest.mark.parametrize(
    ("before", "change", "reboots"),
    [
        ({}, {"numCpus": 8}, True),
        ({}, {"numCpus": 2}, True),
        ({"cpuHotAddEnabled": True}, {"numCpus": 8, "cpuHotAddEnabled": True}, False),
        ({"cpuHotAddEnabled": True}, {"numCpus": 2, "cpuHotAddEnabled": True}, True),
        ({"cpuHotRemoveEnabled": True}, {"numCpus": 2, "cpuHotRemoveEnabled": True}, False),
        ({}, {"memory": 8192}, True),
        ({"memoryHotAddEnabled": True}, {"memory": 8192, "memoryHotAddEnabled": True}, False),
        ({"memoryHotAddEnabled": True}, {"memory": 2048, "memoryHotAddEnabled": True}, True),
        ({}, {"extraConfig": {"guestinfo.userdata": "b"}}, True),
        (
            {},
            {"extraConfig": {"guestinfo.userdata": "b"}, "extraConfigRebootRequired": False},
            False,
        ),
        ({}, {"firmware": "bios"}, True),
        ({}, {"pciDeviceIds": ["0000:3b:00.0"]}, True),
        ({}, {"annotation": "text"}, False),
        ({}, {"name": "other"}, False),
        ({}, {"memoryReservation": 2048}, False),
        ({}, {"disks": [DISKS[0], {**DISKS[1], "size": 20}]}, False),
        ({}, {"waitForGuestNetTimeout": 9}, False),
        ({"rebootRequired": True}, {}, True),
    ],
)
def test_which_changes_need_a_restart(
    before: dict[str, Any], change: dict[str, Any], reboots: bool
) -> None:
    inputs = {k: v for k, v in before.items() if k != "rebootRequired"}
    olds = state(**inputs) | before
    wanted = planned(olds, **change)
    assert needs_reboot(olds, wanted, changed_properties(olds, wanted)) is reboots


@pytest.mark.parametrize("key", ["ovfDeploy", "vapp"])
def test_what_the_lab_cannot_make_is_refused(key: str) -> None:
    with pytest.raises(ProviderError, match="by cloning only"):
        planned(state(), **{key: {"x": "y"}})
