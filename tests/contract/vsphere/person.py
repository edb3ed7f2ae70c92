"""What a person does at a vCenter, through pyvmomi."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.provider.inventory import view
from lab.provider.session import Operation
from lab.provider.vsphere import vim
from permafrost.planning.ownership import attributes_of, category_name
from permafrost.site.model import Site
from permafrost.topology import edges, names_by_group, nodes, rule_name
from tests.contract.provider.vcenter import VCenter

MEMORY_MIB = 4096
KIND = "10de:2330"


class Person:
    """Changes the VMs and the cluster of one site by hand."""

    def __init__(self, vcenter: VCenter, site: Site, hosts: str) -> None:
        self.vcenter = vcenter
        self.site = site
        self._hosts = hosts
        self._session = vcenter.admin._session
        self._op = Operation(self._session, "")
        self._theirs = ""

    def host_name(self, index: int) -> str:
        """Return the name of one of the four hosts."""
        return self._hosts.format(index)

    def define_marks(self) -> None:
        """Make the site's tag category, its tags and its custom attributes."""
        rest, fields = self._session.tagging, self._session.content.customFieldsManager
        spec = {
            "name": category_name(self.site),
            "description": "",
            "cardinality": "SINGLE",
            "associable_types": ["VirtualMachine"],
        }
        category = rest.call("POST", "/tagging/category", {"create_spec": spec})
        for name in names_by_group(self.site):
            tag = {"name": name, "description": "", "category_id": category}
            rest.call("POST", "/tagging/tag", {"create_spec": tag})
        for name in attributes_of(self.site, nodes(self.site)[0]):
            fields.AddCustomFieldDef(name, vim.VirtualMachine)

    def untag(self, name: str, tag: str) -> None:
        """Take a tag of this name off a VM."""
        rest, moid = self._session.tagging, self.vm(name)._moId
        for identity in rest.attached("VirtualMachine", moid):
            if rest.call("GET", f"/tagging/tag/id:{identity}")["name"] == tag:
                rest.detach(identity, "VirtualMachine", moid)

    def tag_names(self) -> list[str]:
        """Return the names of all tags that there are."""
        rest = self._session.tagging
        known = rest.call("GET", "/tagging/tag") or []
        return [str(rest.call("GET", f"/tagging/tag/id:{tag}")["name"]) for tag in known]

    def others_mark(self, name: str, attribute: str, value: str) -> None:
        """Put a tag and an attribute on a VM that are none of the site's."""
        rest, fields = self._session.tagging, self._session.content.customFieldsManager
        category = {
            "name": "others",
            "description": "",
            "cardinality": "MULTIPLE",
            "associable_types": ["VirtualMachine"],
        }
        made = rest.call("POST", "/tagging/category", {"create_spec": category})
        tag = {"name": "theirs", "description": "", "category_id": made}
        self._theirs = rest.call("POST", "/tagging/tag", {"create_spec": tag})
        rest.attach(self._theirs, "VirtualMachine", self.vm(name)._moId)
        fields.AddCustomFieldDef(attribute, vim.VirtualMachine)
        self.set_attribute(name, attribute, value)

    def others_tag_on(self, name: str) -> bool:
        """Whether that tag is still on a VM."""
        attached = self._session.tagging.attached("VirtualMachine", self.vm(name)._moId)
        return self._theirs in attached

    def set_attribute(self, name: str, attribute: str, value: str) -> None:
        fields = self._session.content.customFieldsManager
        (key,) = [f.key for f in fields.field if f.name == attribute]
        fields.SetField(self.vm(name), key, value)

    def make(
        self, name: str, host: int, gpus: tuple[str, ...] = (), reserved_mib: int = MEMORY_MIB
    ) -> None:
        """Make a VM that is off."""
        target = self.find(vim.HostSystem, self.host_name(host))
        spec = vim.vm.ConfigSpec(
            name=name,
            numCPUs=4,
            memoryMB=MEMORY_MIB,
            guestId="otherGuest",
            firmware="efi",
            memoryAllocation=vim.ResourceAllocationInfo(reservation=reserved_mib),
            files=vim.vm.FileInfo(vmPathName="[LocalDS_0]"),
            deviceChange=[added(gpu, index) for index, gpu in enumerate(gpus)],
        )
        folder = self.find(vim.Datacenter, "DC0").vmFolder
        pool = self.find(vim.ClusterComputeResource, "DC0_C0").resourcePool
        self._op.wait(folder.CreateVM_Task(spec, pool, target))

    def find(self, kind: Any, name: str) -> Any:
        every = view(self._session, self._session.content.rootFolder, kind)
        return next(t for t in every if t.name == name)

    def vm(self, name: str) -> Any:
        return self.find(vim.VirtualMachine, name)

    def power_on(self, name: str) -> None:
        self._op.wait(self.vm(name).PowerOnVM_Task(None))

    def power_off(self, name: str) -> None:
        self._op.wait(self.vm(name).PowerOffVM_Task())

    def destroy(self, name: str) -> None:
        self._op.wait(self.vm(name).Destroy_Task())

    def reconfigure(self, name: str, **what: Any) -> None:
        self._op.wait(self.vm(name).ReconfigVM_Task(vim.vm.ConfigSpec(**what)))

    def reserve(self, name: str, mib: int) -> None:
        allocation = vim.ResourceAllocationInfo(reservation=mib)
        self.reconfigure(name, memoryAllocation=allocation, memoryReservationLockedToMax=False)

    def swap_device(self, name: str, address: str) -> None:
        devices = self.vm(name).config.hardware.device
        (old,) = [d for d in devices if isinstance(d, vim.vm.device.VirtualPCIPassthrough)]
        remove = vim.vm.device.VirtualDeviceSpec(operation="remove", device=old)
        self.reconfigure(name, deviceChange=[remove, added(address, 1)])

    def move(self, name: str, host: int) -> None:
        spec = vim.vm.RelocateSpec(host=self.find(vim.HostSystem, self.host_name(host)))
        self._op.wait(self.vm(name).RelocateVM_Task(spec, None))

    def enter_maintenance(self, host: int) -> None:
        target = self.find(vim.HostSystem, self.host_name(host))
        self._op.wait(target.EnterMaintenanceMode_Task(60, False, None))

    def disconnect(self, host: int) -> None:
        self._op.wait(self.find(vim.HostSystem, self.host_name(host)).DisconnectHost_Task())

    def rule(self, operation: str, members: list[str], **settings: Any) -> None:
        """Add, or edit, the rule that keeps the replicas apart."""
        name = rule_name(self.site, "chat")
        values = {"enabled": True, "mandatory": True, **settings}
        info = vim.cluster.AntiAffinityRuleSpec(
            name=name, vm=[self.vm(m) for m in members], userCreated=True, **values
        )
        if operation == "edit":
            info.key = self._rule_key(name)
        spec = vim.cluster.RuleSpec(operation=operation, info=info)
        self.change_cluster(rulesSpec=[spec])

    def edges_apart(self) -> None:
        info = vim.cluster.AntiAffinityRuleSpec(
            name=rule_name(self.site, "edge"),
            vm=[self.vm(n.name) for n in edges(self.site)],
            enabled=True,
            mandatory=True,
        )
        self.change_cluster(rulesSpec=[vim.cluster.RuleSpec(operation="add", info=info)])

    def remove_rule(self, name: str = "") -> None:
        """Remove a rule; without a name that of the replicas."""
        key = self._rule_key(name or rule_name(self.site, "chat"))
        self.change_cluster(rulesSpec=[vim.cluster.RuleSpec(operation="remove", removeKey=key)])

    def keep_together(self, members: list[str]) -> None:
        info = vim.cluster.AffinityRuleSpec(
            name="somebody's", vm=[self.vm(m) for m in members], enabled=True
        )
        self.change_cluster(rulesSpec=[vim.cluster.RuleSpec(operation="add", info=info)])

    def drs(self, **settings: Any) -> None:
        self.change_cluster(drsConfig=vim.cluster.DrsConfigInfo(**settings))

    def ha(self, options: Mapping[str, str] | None = None, **settings: Any) -> None:
        info = vim.cluster.DasConfigInfo(**settings)
        info.option = [vim.option.OptionValue(key=k, value=v) for k, v in (options or {}).items()]
        self.change_cluster(dasConfig=info)

    def override_drs(self, name: str, behavior: str) -> None:
        info = vim.cluster.DrsVmConfigInfo(key=self.vm(name), behavior=behavior, enabled=True)
        spec = vim.cluster.DrsVmConfigSpec(operation="add", info=info)
        self.change_cluster(drsVmConfigSpec=[spec])

    def override_ha(self, name: str, priority: str) -> None:
        settings = vim.cluster.DasVmSettings(restartPriority=priority)
        info = vim.cluster.DasVmConfigInfo(key=self.vm(name), dasSettings=settings)
        spec = vim.cluster.DasVmConfigSpec(operation="add", info=info)
        self.change_cluster(dasVmConfigSpec=[spec])

    def drop_overrides(self, name: str) -> None:
        gone = {"operation": "remove", "removeKey": self.vm(name)}
        self.change_cluster(
            drsVmConfigSpec=[vim.cluster.DrsVmConfigSpec(**gone)],
            dasVmConfigSpec=[vim.cluster.DasVmConfigSpec(**gone)],
        )

    def keep_edges_on_hosts(
        self, operation: str, name: str, vms: list[str], hosts: list[int], **settings: Any
    ) -> None:
        """Add, or edit, the preference that ties edges to hosts, with its two groups."""
        kinds = ("keep-edges-in", "edges")
        self._keep(operation, name, kinds, vms, hosts, {"mandatory": False, **settings})

    def keep_on_hosts(
        self, operation: str, name: str, vms: list[str], hosts: list[int], **settings: Any
    ) -> None:
        """Add, or edit, a rule that ties VMs to hosts, with its two groups."""
        self._keep(operation, name, ("keep-in", "vms"), vms, hosts, settings)

    def _keep(
        self,
        operation: str,
        name: str,
        kinds: tuple[str, str],
        vms: list[str],
        hosts: list[int],
        settings: dict[str, Any],
    ) -> None:
        values = {"enabled": True, "mandatory": True, **settings}
        of_vms = vim.cluster.VmGroup(name=f"{kinds[1]}-{name}", vm=[self.vm(v) for v in vms])
        of_hosts = vim.cluster.HostGroup(
            name=f"hosts-{name}",
            host=[self.find(vim.HostSystem, self.host_name(h)) for h in hosts],
        )
        groups = [vim.cluster.GroupSpec(operation=operation, info=g) for g in (of_vms, of_hosts)]
        self.change_cluster(groupSpec=groups)
        info = vim.cluster.VmHostRuleInfo(
            name=f"{kinds[0]}-{name}",
            vmGroupName=of_vms.name,
            affineHostGroupName=of_hosts.name,
            userCreated=True,
            **values,
        )
        if operation == "edit":
            info.key = self._rule_key(str(info.name))
        self.change_cluster(rulesSpec=[vim.cluster.RuleSpec(operation=operation, info=info)])

    def change_cluster(self, **what: Any) -> None:
        cluster = self.find(vim.ClusterComputeResource, "DC0_C0")
        spec = vim.cluster.ConfigSpecEx(**what)
        self._op.wait(cluster.ReconfigureComputeResource_Task(spec, True))

    def _rule_key(self, name: str) -> int:
        cluster = self.find(vim.ClusterComputeResource, "DC0_C0")
        (key,) = [r.key for r in cluster.configurationEx.rule if r.name == name]
        return int(key)


def added(address: str, index: int) -> Any:
    """Return the change that gives a VM a passthrough device of its host."""
    backing = vim.vm.device.VirtualPCIPassthrough.DeviceBackingInfo(
        id=address, deviceId=KIND[5:], vendorId=int(KIND[:4], 16), systemId="BYPASS", deviceName=""
    )
    device = vim.vm.device.VirtualPCIPassthrough(key=-100 - index, backing=backing)
    return vim.vm.device.VirtualDeviceSpec(operation="add", device=device)
