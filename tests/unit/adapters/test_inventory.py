"""vCenter's objects as values, from answers of pyvmomi's own types."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pyVmomi import vim

from permafrost.adapters.vsphere.observe import inventory_of
from permafrost.errors import Failed
from permafrost.planning.snapshot import GpuFacts


def pci(address: str, class_id: int, vendor: int, device: int) -> Any:
    return vim.host.PciDevice(
        id=address, classId=class_id, vendorId=vendor, deviceId=device, bus=0, slot=0, function=0
    )


def passthrough(address: str) -> Any:
    return vim.host.PciPassthruInfo(id=address, passthruActive=True)


def passed(address: str) -> Any:
    backing = vim.vm.device.VirtualPCIPassthrough.DeviceBackingInfo(id=address)
    return vim.vm.device.VirtualPCIPassthrough(backing=backing)


def card(device: int, *addresses: str) -> Any:
    return vim.vm.GuestInfo.NicInfo(deviceConfigId=device, ipAddress=list(addresses))


def rows(cluster: str = "gpu-cluster") -> dict[Any, list[dict[str, Any]]]:
    """One cluster of two hosts (one lost), a VM with a GPU, a template, a host elsewhere."""
    here, other = vim.ClusterComputeResource("domain-c1"), vim.ClusterComputeResource("domain-c2")
    host, vm = vim.HostSystem("host-1"), vim.VirtualMachine("vm-1")
    rule = vim.cluster.AntiAffinityRuleSpec(
        name="keep-apart-chat", enabled=True, mandatory=True, vm=[vm]
    )
    return {
        vim.ClusterComputeResource: [
            {
                "moid": "domain-c1",
                "name": cluster,
                "configurationEx": SimpleNamespace(rule=[rule]),
            },
            {"moid": "domain-c2", "name": "elsewhere"},
        ],
        vim.HostSystem: [
            {
                "moid": "host-2",
                "name": "esx-02",
                "parent": here,
                "runtime.connectionState": "notResponding",
            },
            {
                "moid": "host-3",
                "name": "esx-03",
                "parent": other,
                "runtime.connectionState": "connected",
            },
            {
                "moid": "host-1",
                "name": "esx-01",
                "hardware.memorySize": 512 * 2**30,
                "hardware.cpuInfo.numCpuThreads": 64,
                "parent": here,
                "runtime.connectionState": "connected",
                "runtime.inMaintenanceMode": False,
                "config.pciPassthruInfo": [passthrough("0000:3b:00.0")],
                "hardware.pciDevice": [
                    pci("0000:d8:00.0", 0x302, 0x10DE, 0x2330),
                    pci("0000:3b:00.0", 0x302, 0x10DE, 0x2330),
                    pci("0000:00:1f.0", 0x106, -0x7F7A, 0x1234),
                ],
            },
        ],
        vim.VirtualMachine: [
            {
                "moid": "vm-1",
                "name": "lab-chat-01",
                "config.uuid": "u-1",
                "config.hardware.memoryMB": 4096,
                "config.hardware.device": [passed("0000:3b:00.0")],
                "config.memoryAllocation.reservation": 4096,
                "runtime.host": host,
                "runtime.powerState": "poweredOn",
                "guest.ipAddress": "10.0.0.21",
                "guest.net": [
                    card(4000, "10.0.0.21", "fe80::1"),
                    card(4001, "10.1.0.21"),
                    card(4002),
                    card(-1, "10.88.0.1"),
                ],
            },
            {"moid": "vm-2", "name": "debian-13", "config.template": True, "runtime.host": host},
        ],
    }


def test_hosts_vms_and_rules_of_one_cluster() -> None:
    inventory = inventory_of(rows(), "gpu-cluster")
    one, two = inventory.hosts
    assert one.gpus == (
        GpuFacts("0000:3b:00.0", "10de:2330", "lab-chat-01"),
        GpuFacts("0000:d8:00.0", "10de:2330", is_passthrough=False),
    )
    assert (one.is_usable, two.is_usable) == (True, False)
    (vm,) = inventory.vms
    assert (vm.host, vm.is_on, vm.gpus, vm.address) == (
        "esx-01",
        True,
        ("0000:3b:00.0",),
        "10.0.0.21",
    )
    assert vm.stands_at == {"10.0.0.21", "fe80::1", "10.1.0.21"}, "no bridge of its own making"
    assert vm.memory_reservation_mib == vm.memory_mib == 4096
    (rule,) = inventory.rules
    assert (rule.is_enabled, rule.is_mandatory, rule.vms) == (True, True, {"lab-chat-01"})


def test_a_wrong_cluster_is_told_with_its_key() -> None:
    with pytest.raises(Failed, match="CLUSTER_MISSING") as caught:
        inventory_of(rows(), "other")
    assert caught.value.problems[0].path == "vcenter.cluster"


def test_a_host_has_its_size_or_says_nothing() -> None:
    found = inventory_of(rows(), "gpu-cluster")
    assert [(h.name, h.cpus, h.memory_mib) for h in found.hosts] == [
        ("esx-01", 64, 512 * 1024),
        ("esx-02", 0, 0),
    ]


def test_a_card_is_known_by_its_whole_address_and_by_who_runs_there() -> None:
    found = rows()
    card = vim.host.GraphicsInfo(
        deviceName="NVIDIA L40S",
        vendorName="NVIDIA",
        pciId="3b:00.0",
        graphicsType="sharedDirect",
        memorySizeInKB=48 << 20,
        vm=[vim.VirtualMachine("vm-1"), vim.VirtualMachine("vm-elsewhere")],
    )
    basic = vim.host.GraphicsInfo(
        deviceName="ASPEED", vendorName="", pciId="0000:03:00.0", graphicsType="basic",
        memorySizeInKB=0,
    )  # fmt: skip
    (host,) = [r for r in found[vim.HostSystem] if r["name"] == "esx-01"]
    host |= {
        "config.graphicsInfo": [card, basic],
        "config.sharedPassthruGpuTypes": ["grid_l40s-24c", "grid_l40s-12c"],
    }
    seen = inventory_of(found, "gpu-cluster").host("esx-01")
    assert seen is not None
    assert seen.vgpu_profiles == ("grid_l40s-12c", "grid_l40s-24c")
    other, first = seen.cards
    assert (other.address, other.is_shared, other.users) == ("0000:03:00.0", False, ())
    assert (first.address, first.is_shared) == ("0000:3b:00.0", True)
    assert {profile for _, profile in first.users} == {""}, "without a vGPU that we could see"
    assert {name for name, _ in first.users} > {"vm-elsewhere"}
