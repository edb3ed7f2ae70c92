"""ComputeClusterVmAntiAffinityRule: machines that must not share a host."""

from __future__ import annotations

from typing import Any, ClassVar

from typing_extensions import override

from lab.provider.errors import PartialFailureError, ProviderError
from lab.provider.resources import cluster
from lab.provider.resources.base import Resource
from lab.provider.schema import Schema, flag, text, text_set
from lab.provider.session import Operation, fault_text
from lab.provider.values import Props
from lab.provider.vsphere import vim, vmodl


class AntiAffinityRule(Resource):
    """vsphere:index/computeClusterVmAntiAffinityRule:ComputeClusterVmAntiAffinityRule."""

    token: ClassVar[str] = (
        "vsphere:index/computeClusterVmAntiAffinityRule:ComputeClusterVmAntiAffinityRule"  # noqa: S105
    )
    schema: ClassVar[Schema] = {
        "computeClusterId": text(required=True, replaces=True),
        "name": text(),
        "enabled": flag(default=True),
        "mandatory": flag(),
        "virtualMachineIds": text_set(required=True),
    }

    @override
    def create(self, op: Operation, planned: Props) -> tuple[str, Props]:
        moid = planned["computeClusterId"]
        cluster.cluster_of(op.session, moid)
        rule = _rule(op, planned)
        cluster.reconfigure(op, moid, rulesSpec=[_spec("add", rule)])
        for found in cluster.configuration(op.session, moid).rule:
            if found.name == planned["name"]:
                return f"{moid}:{found.key}", _state(op, moid, found)
        raise ProviderError(f"rule {planned['name']!r} is not in the cluster after its creation")

    @override
    def read(self, op: Operation, resource_id: str, state: Props) -> tuple[str, Props] | None:
        del state
        moid, key = cluster.split_id(resource_id)
        try:
            rules = cluster.configuration(op.session, moid).rule
            for found in rules:
                if str(found.key) == key:
                    return resource_id, _state(op, moid, found)
        except vmodl.MethodFault as e:
            raise ProviderError(fault_text(e)) from e
        return None

    @override
    def update(self, op: Operation, resource_id: str, olds: Props, planned: Props) -> Props:
        del olds
        moid, key = cluster.split_id(resource_id)
        rule = _rule(op, planned)
        rule.key = int(key)
        try:
            cluster.reconfigure(op, moid, rulesSpec=[_spec("edit", rule)])
        except ProviderError as e:
            kept = {**planned, "mandatory": bool(planned.get("mandatory"))}
            raise PartialFailureError(str(e), resource_id, kept) from e
        found = self.read(op, resource_id, planned)
        if found is None:
            raise ProviderError(f"rule {resource_id} is gone")
        return found[1]

    @override
    def delete(self, op: Operation, resource_id: str, state: Props) -> None:
        moid, key = cluster.split_id(resource_id)
        if self.read(op, resource_id, state) is None:
            return
        spec = vim.cluster.RuleSpec(operation="remove", removeKey=int(key))
        cluster.reconfigure(op, moid, rulesSpec=[spec])


def _rule(op: Operation, planned: Props) -> Any:
    members = [cluster.machine(op.session, uuid) for uuid in planned["virtualMachineIds"]]
    return vim.cluster.AntiAffinityRuleSpec(
        name=planned["name"],
        enabled=planned["enabled"],
        mandatory=bool(planned.get("mandatory")),
        userCreated=True,
        vm=members,
    )


def _spec(operation: str, rule: Any) -> Any:
    return vim.cluster.RuleSpec(operation=operation, info=rule)


def _state(op: Operation, moid: str, rule: Any) -> Props:
    return {
        "id": f"{moid}:{rule.key}",
        "computeClusterId": moid,
        "name": rule.name,
        "enabled": bool(rule.enabled),
        "mandatory": bool(rule.mandatory),
        "virtualMachineIds": cluster.uuids(op.session, list(rule.vm)),
    }
