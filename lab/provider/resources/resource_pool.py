"""ResourcePool: a share of a cluster's CPU and memory."""

from __future__ import annotations

from typing import Any, ClassVar

from typing_extensions import override

from lab.provider import inventory
from lab.provider.errors import PartialFailureError, ProviderError
from lab.provider.resources.base import Resource
from lab.provider.schema import Schema, flag, mapping, text, text_set, whole
from lab.provider.session import Operation, fault_text
from lab.provider.values import Props
from lab.provider.vsphere import vim, vmodl

LEVELS = ("low", "normal", "high", "custom")


class ResourcePool(Resource):
    """vsphere:index/resourcePool:ResourcePool."""

    token: ClassVar[str] = "vsphere:index/resourcePool:ResourcePool"  # noqa: S105
    schema: ClassVar[Schema] = {
        "name": text(),
        "parentResourcePoolId": text(required=True),
        "cpuExpandable": flag(default=True),
        "cpuLimit": whole(default=-1),
        "cpuReservation": whole(implied=0),
        "cpuShareLevel": text(default="normal", choices=LEVELS),
        "cpuShares": whole(computed=True),
        "memoryExpandable": flag(default=True),
        "memoryLimit": whole(default=-1),
        "memoryReservation": whole(implied=0),
        "memoryShareLevel": text(default="normal", choices=LEVELS),
        "memoryShares": whole(computed=True),
        "scaleDescendantsShares": text(),
        "customAttributes": mapping(),
        "tags": text_set(),
    }

    @override
    def create(self, op: Operation, planned: Props) -> tuple[str, Props]:
        parent = op.session.reference(vim.ResourcePool, planned["parentResourcePoolId"])
        try:
            pool = parent.CreateResourcePool(planned["name"], _spec(planned))
        except vim.fault.DuplicateName as e:
            raise ProviderError("ServerFaultCode: DuplicateName") from e
        except vmodl.MethodFault as e:
            raise ProviderError(fault_text(e)) from e
        for tag in planned.get("tags") or []:
            op.session.tagging.attach(tag, "ResourcePool", pool._moId)
        return pool._moId, self._state(op, pool, planned)

    @override
    def read(self, op: Operation, resource_id: str, state: Props) -> tuple[str, Props] | None:
        pool = op.session.reference(vim.ResourcePool, resource_id)
        if not state:
            pool = inventory.by_path(op.session, resource_id)
            if not isinstance(pool, vim.ResourcePool):
                return None
        try:
            return pool._moId, self._state(op, pool, state)
        except vmodl.fault.ManagedObjectNotFound:
            return None

    @override
    def update(self, op: Operation, resource_id: str, olds: Props, planned: Props) -> Props:
        pool = op.session.reference(vim.ResourcePool, resource_id)
        name = planned["name"] if planned["name"] != olds["name"] else None
        try:
            if planned["parentResourcePoolId"] != olds["parentResourcePoolId"]:
                parent = op.session.reference(vim.ResourcePool, planned["parentResourcePoolId"])
                op.session.properties(parent, "name")
                parent.MoveIntoResourcePool([pool])
            pool.UpdateConfig(name, _spec(planned))
        except vmodl.MethodFault as e:
            kept = {**planned, "scaleDescendantsShares": planned["scaleDescendantsShares"] or ""}
            raise PartialFailureError(fault_text(e), resource_id, kept) from e
        return self._state(op, pool, planned)

    @override
    def delete(self, op: Operation, resource_id: str, state: Props) -> None:
        del state
        try:
            op.wait(op.session.reference(vim.ResourcePool, resource_id).Destroy_Task())
        except vmodl.MethodFault as e:
            raise ProviderError(fault_text(e)) from e

    def _state(self, op: Operation, pool: Any, before: Props) -> Props:
        found = op.session.properties(pool, "name", "parent", "config")
        config = found["config"]
        cpu, memory = config.cpuAllocation, config.memoryAllocation
        return {
            "id": pool._moId,
            "name": found["name"],
            "parentResourcePoolId": found["parent"]._moId,
            "cpuExpandable": cpu.expandableReservation,
            "cpuLimit": cpu.limit,
            "cpuReservation": cpu.reservation,
            "cpuShareLevel": cpu.shares.level,
            "cpuShares": cpu.shares.shares if cpu.shares.level == "custom" else 0,
            "memoryExpandable": memory.expandableReservation,
            "memoryLimit": memory.limit,
            "memoryReservation": memory.reservation,
            "memoryShareLevel": memory.shares.level,
            "memoryShares": memory.shares.shares if memory.shares.level == "custom" else 0,
            "scaleDescendantsShares": _scale(config, before),
            "customAttributes": before.get("customAttributes"),
            "tags": op.session.tagging.attached("ResourcePool", pool._moId),
        }


def _scale(config: Any, before: Props) -> str:
    """Return the setting; a program that took it away is answered with the empty text."""
    if "id" in before and before.get("scaleDescendantsShares") is None:
        return ""
    return config.scaleDescendantsShares or before.get("scaleDescendantsShares") or "disabled"


def _spec(planned: Props) -> Any:
    return vim.ResourceConfigSpec(
        cpuAllocation=_allocation(planned, "cpu"),
        memoryAllocation=_allocation(planned, "memory"),
        scaleDescendantsShares=planned.get("scaleDescendantsShares") or None,
    )


def _allocation(planned: Props, what: str) -> Any:
    level = planned[f"{what}ShareLevel"]
    count = planned.get(f"{what}Shares")
    return vim.ResourceAllocationInfo(
        reservation=planned.get(f"{what}Reservation") or 0,
        expandableReservation=planned[f"{what}Expandable"],
        limit=planned[f"{what}Limit"],
        shares=vim.SharesInfo(
            level=level, shares=int(count) if level == "custom" and count else 0
        ),
    )
