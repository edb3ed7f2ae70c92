"""DrsVmOverride: how DRS treats one machine."""

from __future__ import annotations

from typing import Any, ClassVar

from typing_extensions import override

from lab.provider.errors import NotFoundError, PartialFailureError, ProviderError
from lab.provider.resources import cluster
from lab.provider.resources.base import Resource
from lab.provider.schema import Schema, flag, text
from lab.provider.session import Operation
from lab.provider.values import Props
from lab.provider.vsphere import vim

LEVELS = ("manual", "partiallyAutomated", "fullyAutomated")


class DrsOverride(Resource):
    """vsphere:index/drsVmOverride:DrsVmOverride."""

    token: ClassVar[str] = "vsphere:index/drsVmOverride:DrsVmOverride"  # noqa: S105
    replace_deletes_first: ClassVar[bool] = False
    schema: ClassVar[Schema] = {
        "computeClusterId": text(required=True, replaces=True),
        "virtualMachineId": text(required=True, replaces=True),
        "drsAutomationLevel": text(default="manual", choices=LEVELS),
        "drsEnabled": flag(),
    }

    @override
    def create(self, op: Operation, planned: Props) -> tuple[str, Props]:
        moid, uuid = planned["computeClusterId"], planned["virtualMachineId"]
        cluster.cluster_of(op.session, moid)
        _apply(op, "add", moid, cluster.located(op.session, uuid), planned)
        resource_id = f"{moid}:{uuid}"
        return resource_id, {
            **planned,
            "drsEnabled": bool(planned.get("drsEnabled")),
            "id": resource_id,
        }

    @override
    def read(self, op: Operation, resource_id: str, state: Props) -> tuple[str, Props] | None:
        del state
        moid, uuid = cluster.split_id(resource_id)
        try:
            vm = cluster.machine(op.session, uuid)
        except NotFoundError:
            return None
        for config in cluster.configuration(op.session, moid).drsVmConfig:
            if config.key._moId == vm._moId:
                return resource_id, {
                    "id": resource_id,
                    "computeClusterId": moid,
                    "virtualMachineId": uuid,
                    "drsAutomationLevel": config.behavior,
                    "drsEnabled": bool(config.enabled),
                }
        return None

    @override
    def update(self, op: Operation, resource_id: str, olds: Props, planned: Props) -> Props:
        del olds
        moid, uuid = cluster.split_id(resource_id)
        kept = {**planned, "drsEnabled": bool(planned.get("drsEnabled"))}
        try:
            # vCenter takes "add" as a replacement of what is there.
            _apply(op, "add", moid, cluster.located(op.session, uuid), planned)
        except ProviderError as e:
            raise PartialFailureError(str(e), resource_id, kept) from e
        return kept

    @override
    def delete(self, op: Operation, resource_id: str, state: Props) -> None:
        del state
        moid, uuid = cluster.split_id(resource_id)
        spec = vim.cluster.DrsVmConfigSpec(
            operation="remove", removeKey=cluster.located(op.session, uuid)
        )
        cluster.reconfigure(op, moid, drsVmConfigSpec=[spec])


def _apply(op: Operation, operation: str, moid: str, vm: Any, planned: Props) -> None:
    info = vim.cluster.DrsVmConfigInfo(
        key=vm,
        enabled=bool(planned.get("drsEnabled")),
        behavior=planned["drsAutomationLevel"],
    )
    spec = vim.cluster.DrsVmConfigSpec(operation=operation, info=info)
    cluster.reconfigure(op, moid, drsVmConfigSpec=[spec])
