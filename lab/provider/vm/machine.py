"""VirtualMachine: the resource type, put together."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from lab.provider import inventory
from lab.provider.comparison import Change, Difference
from lab.provider.errors import NotFoundError
from lab.provider.resources.base import Resource
from lab.provider.schema import Schema
from lab.provider.session import Operation
from lab.provider.values import Props
from lab.provider.vm.create import create
from lab.provider.vm.delete import delete
from lab.provider.vm.plan import diff, echoes, plan
from lab.provider.vm.read import read_state
from lab.provider.vm.schema import SCHEMA
from lab.provider.vm.update import update
from lab.provider.vsphere import vim, vmodl


class VirtualMachine(Resource):
    """vsphere:index/virtualMachine:VirtualMachine."""

    token: ClassVar[str] = "vsphere:index/virtualMachine:VirtualMachine"  # noqa: S105
    schema: ClassVar[Schema] = SCHEMA

    @override
    def plan(self, op: Operation, olds: Props | None, news: Props) -> Props:
        return plan(op, olds, news)

    @override
    def diff(self, olds: Props, planned: Props, news: Props) -> Difference:
        return diff(olds, planned, news)

    @override
    def echoes(self, olds: Props, planned: Props) -> dict[str, Change]:
        return echoes(olds, planned)

    @override
    def create(self, op: Operation, planned: Props) -> tuple[str, Props]:
        return create(op, planned)

    @override
    def read(self, op: Operation, resource_id: str, state: Props) -> tuple[str, Props] | None:
        try:
            if state:
                vm = inventory.vm_by_uuid(op.session, resource_id)
            else:
                vm = inventory.by_path(op.session, resource_id)
                if not isinstance(vm, vim.VirtualMachine):
                    return None
            found = read_state(op, vm, state)
        except (NotFoundError, vmodl.fault.ManagedObjectNotFound):
            return None
        return str(found["id"]), found

    @override
    def update(self, op: Operation, resource_id: str, olds: Props, planned: Props) -> Props:
        return update(op, resource_id, olds, planned)

    @override
    def delete(self, op: Operation, resource_id: str, state: Props) -> None:
        delete(op, resource_id, state)
