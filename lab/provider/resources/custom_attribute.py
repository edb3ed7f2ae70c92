"""CustomAttribute: a field that objects of one type can carry."""

from __future__ import annotations

from typing import Any, ClassVar

from typing_extensions import override

from lab.provider.errors import ProviderError
from lab.provider.resources.base import Resource
from lab.provider.schema import Schema, text
from lab.provider.session import Operation, fault_text
from lab.provider.values import Props
from lab.provider.vsphere import vim, vmodl


class CustomAttribute(Resource):
    """vsphere:index/customAttribute:CustomAttribute."""

    token: ClassVar[str] = "vsphere:index/customAttribute:CustomAttribute"  # noqa: S105
    schema: ClassVar[Schema] = {
        "name": text(),
        "managedObjectType": text(replaces=True),
    }

    @override
    def create(self, op: Operation, planned: Props) -> tuple[str, Props]:
        kind = planned.get("managedObjectType")
        try:
            field = op.session.content.customFieldsManager.AddCustomFieldDef(
                planned["name"], getattr(vim, kind) if kind else None
            )
        except vmodl.MethodFault as e:
            raise ProviderError(f"could not create custom attribute: {fault_text(e)}") from e
        return str(field.key), _state(field)

    @override
    def read(self, op: Operation, resource_id: str, state: Props) -> tuple[str, Props] | None:
        del state
        fields = op.session.properties(op.session.content.customFieldsManager, "field")
        for field in fields.get("field", []):
            if str(field.key) == resource_id:
                return resource_id, _state(field)
        return None

    @override
    def update(self, op: Operation, resource_id: str, olds: Props, planned: Props) -> Props:
        del olds
        manager = op.session.content.customFieldsManager
        manager.RenameCustomFieldDef(int(resource_id), planned["name"])
        return {**planned, "id": resource_id}

    @override
    def delete(self, op: Operation, resource_id: str, state: Props) -> None:
        del state
        op.session.content.customFieldsManager.RemoveCustomFieldDef(int(resource_id))


def _state(field: Any) -> Props:
    kind = field.managedObjectType
    return {
        "id": str(field.key),
        "name": field.name,
        "managedObjectType": kind.__name__.rsplit(".", 1)[-1] if kind else "",
    }
