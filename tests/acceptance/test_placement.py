"""vCenter, read with pyvmomi and none of the product's code, shows the site as promised."""

from __future__ import annotations

from typing import Any

import pytest
from pyVmomi import vim

from tests.acceptance.driver import Cli, VCenter

REPLICAS = {e: [f"lab-{e}-{n:02}" for n in (1, 2, 3)] for e in ("chat", "pulse")}


def passthrough(vm: Any) -> list[str]:
    """Return the PCI addresses that a VM passes through."""
    return [
        d.backing.id
        for d in vm.config.hardware.device
        if isinstance(d, vim.vm.device.VirtualPCIPassthrough)
    ]


@pytest.mark.parametrize("endpoint", sorted(REPLICAS))
def test_each_replica_has_its_own_host_and_its_own_gpu(endpoint: str, vsphere: VCenter) -> None:
    vms = [vsphere.vm(name) for name in REPLICAS[endpoint]]
    assert {vm.runtime.powerState for vm in vms} == {"poweredOn"}
    assert len({vm.runtime.host.name for vm in vms}) == len(vms)
    for vm in vms:
        (device,) = passthrough(vm)
        owners = [v.name for v in vm.runtime.host.vm if device in passthrough(v)]
        assert owners == [vm.name]
        assert device in {p.id for p in vm.runtime.host.config.pciPassthruInfo if p.passthruActive}


@pytest.mark.parametrize("group", [*sorted(REPLICAS), "edge"])
def test_a_mandatory_enabled_rule_keeps_them_apart(group: str, vsphere: VCenter) -> None:
    members = REPLICAS.get(group, ["lab-edge-01", "lab-edge-02"])
    assert len({vsphere.vm(name).runtime.host.name for name in members}) == len(members)
    (cluster,) = vsphere.all(vim.ClusterComputeResource)
    rules = [
        r
        for r in cluster.configurationEx.rule
        if isinstance(r, vim.cluster.AntiAffinityRuleSpec)
        and {vm.name for vm in r.vm} == set(members)
    ]
    assert [(r.enabled, r.mandatory) for r in rules] == [(True, True)]


@pytest.mark.parametrize("name", [n for names in REPLICAS.values() for n in names])
def test_a_gpu_vm_is_built_so_that_passthrough_works(name: str, vsphere: VCenter) -> None:
    config = vsphere.vm(name).config
    extra = {o.key: str(o.value) for o in config.extraConfig}
    assert config.firmware == "efi"
    assert config.memoryReservationLockedToMax
    assert config.memoryAllocation.reservation == config.hardware.memoryMB
    assert extra["pciPassthru.use64bitMMIO"].upper() == "TRUE"
    assert int(extra["pciPassthru.64bitMMIOSizeGB"]) >= 128


@pytest.mark.parametrize("name", [n for names in REPLICAS.values() for n in names])
def test_a_gpu_vm_is_moved_by_nobody_and_says_whose_it_is(name: str, vsphere: VCenter) -> None:
    (cluster,) = vsphere.all(vim.ClusterComputeResource)
    vm, settings = vsphere.vm(name), cluster.configurationEx
    (drs,) = [o for o in settings.drsVmConfig if o.key == vm]
    (ha,) = [o for o in settings.dasVmConfig if o.key == vm]
    assert (drs.enabled, drs.behavior) == (True, "manual")
    assert ha.dasSettings.restartPriority == "disabled"
    names = {f.key: f.name for f in vsphere.content.customFieldsManager.field}
    said = {names[v.key]: v.value for v in vm.customValue}
    assert said["permafrost-lab-role"] == f"replica of {name.split('-')[1]}"
    assert said["permafrost-lab-managed-by"].startswith("Permafrost, ")


def test_vcenter_refuses_to_break_the_rule(vsphere: VCenter) -> None:
    first, second = (vsphere.vm(n) for n in REPLICAS["pulse"][:2])
    spec = vim.vm.RelocateSpec(host=second.runtime.host)
    with pytest.raises(AssertionError):
        vsphere.await_task(first.RelocateVM_Task(spec))
    assert first.runtime.host != second.runtime.host


def test_status_tells_the_same_as_vcenter(permafrost: Cli, vsphere: VCenter) -> None:
    for endpoint in permafrost.json("status")["endpoints"]:
        for replica in endpoint["replicas"]:
            vm = vsphere.vm(replica["name"])
            assert replica["host"] == vm.runtime.host.name
            assert replica["gpu"] in (passthrough(vm)[0], passthrough(vm))
