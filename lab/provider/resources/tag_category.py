"""TagCategory: a family of tags, and what they may be put on."""

from __future__ import annotations

from typing import Any, ClassVar

from typing_extensions import override

from lab.provider.errors import NotFoundError, PartialFailureError, ProviderError
from lab.provider.resources.base import Resource
from lab.provider.schema import Schema, text, text_set
from lab.provider.session import Operation
from lab.provider.values import Props

TYPES = (
    "Folder", "ClusterComputeResource", "Datacenter", "Datastore", "StoragePod",
    "DistributedVirtualPortgroup", "DistributedVirtualSwitch", "VmwareDistributedVirtualSwitch",
    "HostSystem", "com.vmware.content.Library", "com.vmware.content.library.Item",
    "HostNetwork", "Network", "OpaqueNetwork", "ResourcePool", "VirtualApp", "VirtualMachine",
)  # fmt: skip
PREFIX = "urn:vim25:"


class TagCategory(Resource):
    """vsphere:index/tagCategory:TagCategory."""

    token: ClassVar[str] = "vsphere:index/tagCategory:TagCategory"  # noqa: S105
    schema: ClassVar[Schema] = {
        "name": text(),
        "description": text(),
        "cardinality": text(required=True, choices=("SINGLE", "MULTIPLE")),
        "associableTypes": text_set(required=True),
    }

    @override
    def create(self, op: Operation, planned: Props) -> tuple[str, Props]:
        for kind in planned["associableTypes"]:
            if kind not in TYPES:
                raise ProviderError(
                    f"{kind} is not a valid associable_type, "
                    f"valid types include: [{' '.join(TYPES)}]"
                )
        spec = {
            "name": planned["name"],
            "description": planned.get("description") or "",
            "cardinality": planned["cardinality"],
            "associable_types": [_qualified(t) for t in planned["associableTypes"]],
        }
        try:
            created = op.session.tagging.call("POST", "/tagging/category", {"create_spec": spec})
        except ProviderError as e:
            raise ProviderError(f"could not create category: {_reason(e)}") from e
        return str(created), _state(str(created), planned)

    @override
    def read(self, op: Operation, resource_id: str, state: Props) -> tuple[str, Props] | None:
        del state
        try:
            found = op.session.tagging.call("GET", f"/tagging/category/id:{resource_id}")
        except NotFoundError:
            return None
        return resource_id, {
            "id": resource_id,
            "name": found["name"],
            "description": found.get("description", ""),
            "cardinality": found["cardinality"],
            "associableTypes": sorted(found.get("associable_types", [])),
        }

    @override
    def update(self, op: Operation, resource_id: str, olds: Props, planned: Props) -> Props:
        for kind in olds["associableTypes"]:
            if kind not in planned["associableTypes"]:
                raise PartialFailureError(
                    f'cannot remove type "{kind}" (removal of associable types is not supported)',
                    resource_id,
                    _state(resource_id, planned),
                )
        spec: dict[str, Any] = {
            key: planned.get(key) or ""
            for key in ("name", "description", "cardinality")
            if planned.get(key) != olds.get(key)
        }
        if sorted(planned["associableTypes"]) != sorted(olds["associableTypes"]):
            spec["associable_types"] = [_qualified(t) for t in planned["associableTypes"]]
        try:
            op.session.tagging.call(
                "PATCH", f"/tagging/category/id:{resource_id}", {"update_spec": spec}
            )
        except ProviderError as e:
            raise PartialFailureError(
                f'could not update category with id "{resource_id}": {_reason(e)}',
                resource_id,
                _state(resource_id, planned),
            ) from e
        return _state(resource_id, planned)

    @override
    def delete(self, op: Operation, resource_id: str, state: Props) -> None:
        del state
        op.session.tagging.call("DELETE", f"/tagging/category/id:{resource_id}")


def _qualified(kind: str) -> str:
    """Return the name under which the tagging service knows a vSphere type."""
    return kind if kind.startswith((PREFIX, "com.vmware")) else PREFIX + kind


def _state(resource_id: str, planned: Props) -> Props:
    return {
        "id": resource_id,
        "name": planned["name"],
        "description": planned.get("description") or "",
        "cardinality": planned["cardinality"],
        "associableTypes": sorted(planned["associableTypes"]),
    }


def _reason(error: ProviderError) -> str:
    """Return what the service said, without the call that was made."""
    return str(error).split(": ", 1)[-1]
