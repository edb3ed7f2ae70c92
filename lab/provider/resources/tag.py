"""Tag: a label of one category."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from lab.provider.errors import NotFoundError
from lab.provider.resources.base import Resource
from lab.provider.schema import Schema, text
from lab.provider.session import Operation
from lab.provider.values import Props


class Tag(Resource):
    """vsphere:index/tag:Tag."""

    token: ClassVar[str] = "vsphere:index/tag:Tag"  # noqa: S105
    schema: ClassVar[Schema] = {
        "name": text(),
        "description": text(),
        "categoryId": text(required=True, replaces=True),
    }

    @override
    def create(self, op: Operation, planned: Props) -> tuple[str, Props]:
        spec = {
            "name": planned["name"],
            "description": planned.get("description") or "",
            "category_id": planned["categoryId"],
        }
        created = str(op.session.tagging.call("POST", "/tagging/tag", {"create_spec": spec}))
        return created, _state(created, planned)

    @override
    def read(self, op: Operation, resource_id: str, state: Props) -> tuple[str, Props] | None:
        del state
        try:
            found = op.session.tagging.call("GET", f"/tagging/tag/id:{resource_id}")
        except NotFoundError:
            return None
        return resource_id, {
            "id": resource_id,
            "name": found["name"],
            "description": found.get("description", ""),
            "categoryId": found["category_id"],
        }

    @override
    def update(self, op: Operation, resource_id: str, olds: Props, planned: Props) -> Props:
        spec = {
            key: planned.get(key) or ""
            for key in ("name", "description")
            if planned.get(key) != olds.get(key)
        }
        op.session.tagging.call("PATCH", f"/tagging/tag/id:{resource_id}", {"update_spec": spec})
        return _state(resource_id, planned)

    @override
    def delete(self, op: Operation, resource_id: str, state: Props) -> None:
        del state
        op.session.tagging.call("DELETE", f"/tagging/tag/id:{resource_id}")


def _state(resource_id: str, planned: Props) -> Props:
    return {
        "id": resource_id,
        "name": planned["name"],
        "description": planned.get("description") or "",
        "categoryId": planned["categoryId"],
    }
