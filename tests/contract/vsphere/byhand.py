"""A small site's VMs, made and changed by hand through pyvmomi at a vCenter of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lab.provider.inventory import view
from lab.provider.session import Operation
from lab.provider.vsphere import vim
from permafrost.adapters.vsphere import VcenterSession, VsphereHypervisor
from permafrost.planning.placement import Placement, Slot
from permafrost.site.load import LoadedSite
from permafrost.site.model import Site
from permafrost.topology import nodes, replicas, rule_name
from tests.contract.provider.vcenter import PASSWORD, USER, VCenter
from tests.fakes.site import document

MEMORY_MIB = 4096
GPUS = ("0000:3b:00.0", "0000:d8:00.0")
KIND = "10de:2330"


def site_at(port: int) -> Site:
    """A site of three replicas with a GPU each and one edge."""
    values = document()
    values["vcenter"] |= {
        "server": f"127.0.0.1:{port}",
        "user": USER,
        "password_file": "password",
        "allow_unverified_ssl": True,
        "datacenter": "DC0",
        "cluster": "DC0_C0",
        "datastore": "LocalDS_0",
        "network": "DC0_DVPG0",
        "template": "template-linux",
    }
    values["vcenter"].pop("ca_file", None)
    chat = values["inference"]["chat"]
    chat["gpu"] = {"mode": "passthrough", "vendor_device": KIND, "count": 1, "mmio_gib": 256}
    chat["vm"] = {"cpus": 4, "memory_mib": MEMORY_MIB, "disk_gib": 20}
    values["inference"] = {"chat": {**chat, "replicas": 3, "min_ready": 2}}
    return Site.model_validate(values)


def two_gpus(configuration: dict[str, Any]) -> None:
    """Give each host two GPUs."""
    for host in configuration["hosts"]:
        kind = {"vendor": KIND[:4], "device": KIND[5:], "class": "0302", "name": "H100 SXM5 80GB"}
        host["gpus"] = [{**kind, "id": address} for address in GPUS]


class ByHand:
    """One vCenter, and what a person does there."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.vcenter = VCenter(program, two_gpus)
        self.site = site_at(self.vcenter.port)
        (folder / "password").write_text(PASSWORD, encoding="utf-8")
        self._own = VcenterSession(LoadedSite(self.site, folder / "site.yaml"))
        self.hypervisor = VsphereHypervisor(self._own, "DC0", "DC0_C0")
        self._session = self.vcenter.admin._session
        self._op = Operation(self._session, "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.vcenter.__exit__(kind, error, trace)

    def deploy(self) -> Placement:
        """Make the site's VMs and rule as a deployment leaves them; return the placement."""
        slots = {}
        for index, node in enumerate(n for n in nodes(self.site) if n.endpoint):
            host = self.find(vim.HostSystem, f"DC0_C0_H{index}")
            slots[node.name] = Slot(str(host.name), str(host._moId), (GPUS[0],))
            self.make(node.name, index, (GPUS[0],))
            self.power_on(node.name)
        (edge,) = (n for n in nodes(self.site) if not n.endpoint)
        host = self.find(vim.HostSystem, "DC0_C0_H3")
        slots[edge.name] = Slot(str(host.name), str(host._moId))
        self.make(edge.name, 3)
        self.power_on(edge.name)
        self.rule("add", [n.name for n in replicas(self.site, "chat")])
        return Placement(slots)

    def make(
        self, name: str, host: int, gpus: tuple[str, ...] = (), reserved_mib: int = MEMORY_MIB
    ) -> None:
        """Make a VM that is off."""
        target = self.find(vim.HostSystem, f"DC0_C0_H{host}")
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
        spec = vim.vm.RelocateSpec(host=self.find(vim.HostSystem, f"DC0_C0_H{host}"))
        self._op.wait(self.vm(name).RelocateVM_Task(spec, None))

    def enter_maintenance(self, host: int) -> None:
        target = self.find(vim.HostSystem, f"DC0_C0_H{host}")
        self._op.wait(target.EnterMaintenanceMode_Task(60, False, None))

    def disconnect(self, host: int) -> None:
        self._op.wait(self.find(vim.HostSystem, f"DC0_C0_H{host}").DisconnectHost_Task())

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

    def remove_rule(self) -> None:
        key = self._rule_key(rule_name(self.site, "chat"))
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
