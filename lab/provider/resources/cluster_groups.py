"""The cluster's groups of machines and of hosts, which rules name."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from typing_extensions import override

from lab.provider.errors import PartialFailureError, ProviderError
from lab.provider.resources import cluster
from lab.provider.resources.base import Resource
from lab.provider.schema import Schema, text, text_set
from lab.provider.session import Operation
from lab.provider.values import Props
from lab.provider.vsphere import vim

COMMON: Schema = {
    "computeClusterId": text(required=True, replaces=True),
    "name": text(replaces=True),
}


class ClusterGroup(Resource):
    """What both kinds of group share: an id of cluster and name."""

    kind: ClassVar[Any]
    words: ClassVar[tuple[str, str]]
    member_key: ClassVar[str]

    @abstractmethod
    def group(self, op: Operation, planned: Props) -> Any:
        """Return the group as vCenter takes it."""

    @abstractmethod
    def members(self, op: Operation, group: Any) -> list[str]:
        """Return the ids of a group's members."""

    @override
    def create(self, op: Operation, planned: Props) -> tuple[str, Props]:
        moid = planned["computeClusterId"]
        cluster.cluster_of(op.session, moid)
        group = self.group(op, planned)
        cluster.reconfigure(op, moid, groupSpec=[_spec("add", group)])
        resource_id = f"{moid}:{planned['name']}"
        found = self.read(op, resource_id, planned)
        return resource_id, found[1] if found else planned

    @override
    def read(self, op: Operation, resource_id: str, state: Props) -> tuple[str, Props] | None:
        moid, name = cluster.split_id(resource_id)
        for group in cluster.configuration(op.session, moid).group:
            if group.name == name and isinstance(group, self.kind):
                return resource_id, {
                    "id": resource_id,
                    "computeClusterId": moid,
                    "name": name,
                    self.member_key: self.members(op, group),
                }
        return None

    @override
    def update(self, op: Operation, resource_id: str, olds: Props, planned: Props) -> Props:
        moid, name = cluster.split_id(resource_id)
        what, members = self.words
        try:
            if not planned.get(self.member_key):
                raise ProviderError(
                    f"the resultant set of {members} in the {what.lower()} group cannot be empty"
                )
            if self.read(op, resource_id, olds) is None:
                raise ProviderError(f"{what} group {name} not found")
            cluster.reconfigure(op, moid, groupSpec=[_spec("edit", self.group(op, planned))])
        except ProviderError as e:
            raise PartialFailureError(str(e), resource_id, planned) from e
        found = self.read(op, resource_id, planned)
        return found[1] if found else planned

    @override
    def delete(self, op: Operation, resource_id: str, state: Props) -> None:
        moid, name = cluster.split_id(resource_id)
        spec = vim.cluster.GroupSpec(operation="remove", removeKey=name)
        cluster.reconfigure(op, moid, groupSpec=[spec])


def _spec(operation: str, group: Any) -> Any:
    return vim.cluster.GroupSpec(operation=operation, info=group)


class VmGroup(ClusterGroup):
    """vsphere:index/computeClusterVmGroup: machines that a rule speaks of."""

    token: ClassVar[str] = "vsphere:index/computeClusterVmGroup:ComputeClusterVmGroup"  # noqa: S105
    kind: ClassVar[Any] = vim.cluster.VmGroup
    words: ClassVar[tuple[str, str]] = ("VM", "virtual machines")
    member_key: ClassVar[str] = "virtualMachineIds"
    schema: ClassVar[Schema] = {**COMMON, "virtualMachineIds": text_set()}

    @override
    def group(self, op: Operation, planned: Props) -> Any:
        vms = [cluster.machine(op.session, u) for u in planned.get("virtualMachineIds") or []]
        return vim.cluster.VmGroup(name=planned["name"], userCreated=True, vm=vms)

    @override
    def members(self, op: Operation, group: Any) -> list[str]:
        return cluster.uuids(op.session, list(group.vm))


class HostGroup(ClusterGroup):
    """vsphere:index/computeClusterHostGroup: hosts that a rule speaks of."""

    token: ClassVar[str] = "vsphere:index/computeClusterHostGroup:ComputeClusterHostGroup"  # noqa: S105
    kind: ClassVar[Any] = vim.cluster.HostGroup
    words: ClassVar[tuple[str, str]] = ("Host", "hosts")
    member_key: ClassVar[str] = "hostSystemIds"
    schema: ClassVar[Schema] = {**COMMON, "hostSystemIds": text_set()}

    @override
    def group(self, op: Operation, planned: Props) -> Any:
        moids = planned.get("hostSystemIds") or []
        hosts = [op.session.reference(vim.HostSystem, moid) for moid in moids]
        return vim.cluster.HostGroup(name=planned["name"], userCreated=True, host=hosts)

    @override
    def members(self, op: Operation, group: Any) -> list[str]:
        return sorted(host._moId for host in group.host)
