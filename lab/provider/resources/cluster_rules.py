"""The cluster's rules: machines apart, machines and hosts, and who starts first."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from typing_extensions import override

from lab.provider.errors import PartialFailureError, ProviderError
from lab.provider.resources import cluster
from lab.provider.resources.base import Resource
from lab.provider.schema import Schema, flag, text, text_set
from lab.provider.session import Operation, fault_text
from lab.provider.values import Props
from lab.provider.vsphere import vim, vmodl


class ClusterRule(Resource):
    """What all rules share: an id of cluster and key, and one call that changes them."""

    @abstractmethod
    def rule(self, op: Operation, planned: Props) -> Any:
        """Return the rule as vCenter takes it."""

    @abstractmethod
    def members(self, op: Operation, rule: Any) -> Props:
        """Return the properties that only this kind of rule has."""

    @override
    def create(self, op: Operation, planned: Props) -> tuple[str, Props]:
        moid = planned["computeClusterId"]
        cluster.cluster_of(op.session, moid)
        rule = self.rule(op, planned)
        cluster.reconfigure(op, moid, rulesSpec=[_spec("add", rule)])
        for found in cluster.configuration(op.session, moid).rule:
            if found.name == planned["name"]:
                return f"{moid}:{found.key}", self._state(op, moid, found)
        raise ProviderError(f"rule {planned['name']!r} is not in the cluster after its creation")

    @override
    def read(self, op: Operation, resource_id: str, state: Props) -> tuple[str, Props] | None:
        moid, key = cluster.split_id(resource_id)
        try:
            for found in cluster.configuration(op.session, moid).rule:
                if str(found.key) == key:
                    return resource_id, self._state(op, moid, found)
        except vmodl.MethodFault as e:
            raise ProviderError(fault_text(e)) from e
        return None

    @override
    def update(self, op: Operation, resource_id: str, olds: Props, planned: Props) -> Props:
        moid, key = cluster.split_id(resource_id)
        kept = {k: v or "" if k.endswith("Name") else v for k, v in planned.items()}
        kept["mandatory"] = bool(planned.get("mandatory"))
        try:
            rule = self.rule(op, planned)
            rule.key = int(key)
            cluster.reconfigure(op, moid, rulesSpec=[_spec("edit", rule)])
        except ProviderError as e:
            raise PartialFailureError(str(e), resource_id, kept) from e
        found = self.read(op, resource_id, planned)
        if found is None:
            raise PartialFailureError(f"rule {resource_id} is gone", resource_id, kept)
        return found[1]

    @override
    def delete(self, op: Operation, resource_id: str, state: Props) -> None:
        moid, key = cluster.split_id(resource_id)
        spec = vim.cluster.RuleSpec(operation="remove", removeKey=int(key))
        cluster.reconfigure(op, moid, rulesSpec=[spec])

    def _state(self, op: Operation, moid: str, rule: Any) -> Props:
        return {
            "id": f"{moid}:{rule.key}",
            "computeClusterId": moid,
            "name": rule.name,
            "enabled": bool(rule.enabled),
            "mandatory": bool(rule.mandatory),
            **self.members(op, rule),
        }


def _common(planned: Props) -> Props:
    return {
        "name": planned["name"],
        "enabled": planned["enabled"],
        "mandatory": bool(planned.get("mandatory")),
        "userCreated": True,
    }


def _spec(operation: str, rule: Any) -> Any:
    return vim.cluster.RuleSpec(operation=operation, info=rule)


COMMON: Schema = {
    "computeClusterId": text(required=True, replaces=True),
    "name": text(),
    "enabled": flag(default=True),
    "mandatory": flag(),
}


class AntiAffinityRule(ClusterRule):
    """vsphere:index/computeClusterVmAntiAffinityRule: machines that must not share a host."""

    token: ClassVar[str] = (
        "vsphere:index/computeClusterVmAntiAffinityRule:ComputeClusterVmAntiAffinityRule"  # noqa: S105
    )
    schema: ClassVar[Schema] = {**COMMON, "virtualMachineIds": text_set(required=True)}

    @override
    def rule(self, op: Operation, planned: Props) -> Any:
        vms = [cluster.machine(op.session, uuid) for uuid in planned["virtualMachineIds"]]
        if not vms:
            raise ProviderError("*types.InvalidArgument")  # it cannot even be said in SOAP
        return vim.cluster.AntiAffinityRuleSpec(vm=vms, **_common(planned))

    @override
    def members(self, op: Operation, rule: Any) -> Props:
        return {"virtualMachineIds": cluster.uuids(op.session, list(rule.vm))}


class VmHostRule(ClusterRule):
    """vsphere:index/computeClusterVmHostRule: where a group of machines runs, or never runs."""

    token: ClassVar[str] = "vsphere:index/computeClusterVmHostRule:ComputeClusterVmHostRule"  # noqa: S105
    schema: ClassVar[Schema] = {
        **COMMON,
        "vmGroupName": text(required=True),
        "affinityHostGroupName": text(conflicts="antiAffinityHostGroupName"),
        "antiAffinityHostGroupName": text(conflicts="affinityHostGroupName"),
    }

    @override
    def plan(self, op: Operation, olds: Props | None, news: Props) -> Props:
        if not news.get("affinityHostGroupName") and not news.get("antiAffinityHostGroupName"):
            raise ProviderError(
                "one of affinity_host_group_name or anti_affinity_host_group_name "
                "must be specified"
            )
        return super().plan(op, olds, news)

    @override
    def rule(self, op: Operation, planned: Props) -> Any:
        return vim.cluster.VmHostRuleInfo(
            vmGroupName=planned["vmGroupName"],
            affineHostGroupName=planned.get("affinityHostGroupName"),
            antiAffineHostGroupName=planned.get("antiAffinityHostGroupName"),
            **_common(planned),
        )

    @override
    def members(self, op: Operation, rule: Any) -> Props:
        return {
            "vmGroupName": rule.vmGroupName or "",
            "affinityHostGroupName": rule.affineHostGroupName or "",
            "antiAffinityHostGroupName": rule.antiAffineHostGroupName or "",
        }


class DependencyRule(ClusterRule):
    """vsphere:index/computeClusterVmDependencyRule: which group starts before which."""

    token: ClassVar[str] = (
        "vsphere:index/computeClusterVmDependencyRule:ComputeClusterVmDependencyRule"  # noqa: S105
    )
    schema: ClassVar[Schema] = {
        **COMMON,
        "vmGroupName": text(required=True),
        "dependencyVmGroupName": text(required=True),
    }

    @override
    def rule(self, op: Operation, planned: Props) -> Any:
        return vim.cluster.DependencyRuleInfo(
            vmGroup=planned["vmGroupName"],
            dependsOnVmGroup=planned["dependencyVmGroupName"],
            **_common(planned),
        )

    @override
    def members(self, op: Operation, rule: Any) -> Props:
        return {"vmGroupName": rule.vmGroup, "dependencyVmGroupName": rule.dependsOnVmGroup}
