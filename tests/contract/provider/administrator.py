"""What a person does by hand at the vCenter of a replay, behind the plugin's back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.provider.config import ProviderConfig
from lab.provider.inventory import view
from lab.provider.session import Operation, Session
from lab.provider.vsphere import vim, vmodl

USER = PASSWORD = "lab"
TEMPLATE = "template-linux"


class Administrator:
    """What a person does by hand, straight at vCenter."""

    def __init__(self, port: int) -> None:
        config = ProviderConfig("127.0.0.1", port, USER, PASSWORD, verify_tls=False)
        self._session = Session(config)
        self._op = Operation(self._session, "")

    def do(self, action: str, args: dict[str, Any]) -> dict[str, Any]:
        """Do one thing, named as in the cases."""
        run: Callable[..., dict[str, Any]] = getattr(self, f"_{action}")
        return run(**args)

    def clean(self) -> None:
        """Remove whatever a case left behind."""
        root = self._session.content.rootFolder
        for machine in view(self._session, root, vim.VirtualMachine):
            name = self._name(machine)
            if name not in (None, TEMPLATE):
                self._destroy(str(name))
        config = self._configuration()
        rules = [vim.cluster.RuleSpec(operation="remove", removeKey=r.key) for r in config.rule]
        groups = [
            vim.cluster.GroupSpec(operation="remove", removeKey=g.name) for g in config.group
        ]
        if rules or groups:
            self._change_cluster(vim.cluster.ConfigSpecEx(rulesSpec=rules, groupSpec=groups))
        for pool in view(self._session, self._cluster(), vim.ResourcePool):
            if self._name(pool) not in (None, "Resources"):
                self._op.wait(pool.Destroy_Task())
        center = self._find(vim.Datacenter, "DC0")
        for folder in reversed(view(self._session, center.vmFolder, vim.Folder)):
            self._op.wait(folder.Destroy_Task())
        self._clean_tags()

    def _clean_tags(self) -> None:
        tagging = self._session.tagging
        for kind in ("tag", "category"):
            for found in tagging.call("GET", f"/tagging/{kind}") or []:
                tagging.call("DELETE", f"/tagging/{kind}/id:{found}")

    def _name(self, target: Any) -> str | None:
        try:
            return str(self._session.properties(target, "name")["name"])
        except vmodl.fault.ManagedObjectNotFound:
            return None  # a folder may still list an object that is gone

    def _find(self, kind: Any, name: str) -> Any:
        every = view(self._session, self._session.content.rootFolder, kind)
        return next((t for t in every if self._name(t) == name), None)

    def _cluster(self) -> Any:
        return self._find(vim.ClusterComputeResource, "DC0_C0")

    def _configuration(self) -> Any:
        return self._session.properties(self._cluster(), "configurationEx")["configurationEx"]

    def _state(self, vm: str) -> dict[str, Any]:
        machine = self._find(vim.VirtualMachine, vm)
        if machine is None:
            return {"exists": False}
        hardware = machine.config.hardware
        disks = [d for d in hardware.device if isinstance(d, vim.vm.device.VirtualDisk)]
        owned = [d for d in hardware.device if isinstance(d, vim.vm.device.VirtualPCIPassthrough)]
        return {
            "exists": True,
            "power": machine.runtime.powerState,
            "host": machine.runtime.host.name,
            "cpus": hardware.numCPU,
            "memory": hardware.memoryMB,
            "folder": machine.parent.name,
            "disksGiB": [d.capacityInKB >> 20 for d in disks],
            "passthrough": len(owned),
        }

    def _powerOff(self, vm: str) -> dict[str, Any]:  # noqa: N802
        self._op.wait(self._find(vim.VirtualMachine, vm).PowerOffVM_Task())
        return {}

    def _powerOn(self, vm: str) -> dict[str, Any]:  # noqa: N802
        self._op.wait(self._find(vim.VirtualMachine, vm).PowerOnVM_Task(None))
        return {}

    def _destroy(self, vm: str) -> dict[str, Any]:
        machine = self._find(vim.VirtualMachine, vm)
        if machine.runtime.powerState == "poweredOn":
            self._op.wait(machine.PowerOffVM_Task())
        self._op.wait(machine.Destroy_Task())
        return {}

    def _move(self, vm: str, host: str) -> dict[str, Any]:
        target = vim.vm.RelocateSpec(host=self._find(vim.HostSystem, host))
        self._op.wait(self._find(vim.VirtualMachine, vm).RelocateVM_Task(target, None))
        return {}

    def _setCpus(self, vm: str, value: int) -> dict[str, Any]:  # noqa: N802
        return self._reconfigure(vm, vim.vm.ConfigSpec(numCPUs=value))

    def _setExtraConfig(self, vm: str, value: dict[str, str]) -> dict[str, Any]:  # noqa: N802
        options = [vim.option.OptionValue(key=k, value=v) for k, v in value.items()]
        return self._reconfigure(vm, vim.vm.ConfigSpec(extraConfig=options))

    def _reconfigure(self, vm: str, spec: Any) -> dict[str, Any]:
        self._op.wait(self._find(vim.VirtualMachine, vm).ReconfigVM_Task(spec))
        return {}

    def _rename(self, vm: str, value: str) -> dict[str, Any]:
        self._op.wait(self._find(vim.VirtualMachine, vm).Rename_Task(value))
        return {}

    def _deleteRule(self, rule: str) -> dict[str, Any]:  # noqa: N802
        keys = [r.key for r in self._configuration().rule if r.name == rule]
        specs = [vim.cluster.RuleSpec(operation="remove", removeKey=k) for k in keys]
        return self._change_cluster(vim.cluster.ConfigSpecEx(rulesSpec=specs))

    def _deleteGroup(self, rule: str) -> dict[str, Any]:  # noqa: N802
        spec = vim.cluster.GroupSpec(operation="remove", removeKey=rule)
        return self._change_cluster(vim.cluster.ConfigSpecEx(groupSpec=[spec]))

    def _change_cluster(self, spec: Any) -> dict[str, Any]:
        self._op.wait(self._cluster().ReconfigureComputeResource_Task(spec, True))
        return {}
