"""Folder: where virtual machines (or hosts, datastores, networks) are kept."""

from __future__ import annotations

from typing import Any, ClassVar

from typing_extensions import override

from lab.provider import inventory
from lab.provider.errors import NotFoundError, PartialFailureError, ProviderError
from lab.provider.resources.base import Resource
from lab.provider.schema import Schema, mapping, text, text_set
from lab.provider.session import Operation, fault_text
from lab.provider.values import Props
from lab.provider.vsphere import vim, vmodl

KINDS = ("vm", "network", "host", "datastore", "datacenter")
META = '{"schema_version":"1"}'


class Folder(Resource):
    """vsphere:index/folder:Folder."""

    token: ClassVar[str] = "vsphere:index/folder:Folder"  # noqa: S105 - a type's name
    replace_deletes_first: ClassVar[bool] = False
    schema: ClassVar[Schema] = {
        "path": text(required=True),
        "type": text(required=True, choices=KINDS, replaces=True),
        "datacenterId": text(replaces=True),
        "customAttributes": mapping(),
        "tags": text_set(),
    }

    @override
    def create(self, op: Operation, planned: Props) -> tuple[str, Props]:
        kind = planned["type"]
        if not planned.get("datacenterId"):
            raise ProviderError(
                f"datacenter_id cannot be empty when creating a targetFolder of type {kind}"
            )
        try:
            center = inventory.datacenter(op.session, planned["datacenterId"])
        except NotFoundError as e:
            raise ProviderError(f"cannot locate datacenter: {e}") from e
        above, _, name = planned["path"].strip("/").rpartition("/")
        try:
            parent = inventory.folder_at(op.session, center, kind, above)
        except NotFoundError as e:
            raise ProviderError(f"error trying to determine parent targetFolder: {e}") from e
        try:
            folder = parent.CreateFolder(name)
        except vmodl.MethodFault as e:
            raise ProviderError(f"error creating targetFolder: {_create_fault(e)}") from e
        self._tag(op, folder, planned)
        return folder._moId, self._state(op, folder, planned)

    @override
    def read(self, op: Operation, resource_id: str, state: Props) -> tuple[str, Props] | None:
        if not state:
            found = inventory.by_path(op.session, resource_id)
            if not isinstance(found, vim.Folder):
                return None
            return found._moId, self._state(op, found, {})
        folder = op.session.reference(vim.Folder, resource_id)
        try:
            return resource_id, self._state(op, folder, state)
        except vmodl.MethodFault as e:
            raise ProviderError(f"cannot locate folder: {fault_text(e)}") from e

    @override
    def update(self, op: Operation, resource_id: str, olds: Props, planned: Props) -> Props:
        folder = op.session.reference(vim.Folder, resource_id)
        if olds["path"] != planned["path"]:
            self._move(op, folder, resource_id, olds, planned)
        self._tag(op, folder, planned, olds)
        return self._state(op, folder, planned)

    def _move(
        self, op: Operation, folder: Any, resource_id: str, olds: Props, planned: Props
    ) -> None:
        above, _, name = planned["path"].strip("/").rpartition("/")
        before, _, old_name = olds["path"].strip("/").rpartition("/")
        center = inventory.datacenter(op.session, planned["datacenterId"])
        if above != before:
            try:
                parent = inventory.folder_at(op.session, center, planned["type"], above)
            except NotFoundError as e:
                raise PartialFailureError(
                    f'error parsing parent folder from path "{planned["path"]}": {e}',
                    resource_id,
                    planned,
                ) from e
            op.wait(parent.MoveIntoFolder_Task([folder]))
        if name != old_name:
            op.wait(folder.Rename_Task(name))

    @override
    def delete(self, op: Operation, resource_id: str, state: Props) -> None:
        del state
        folder = op.session.reference(vim.Folder, resource_id)
        try:
            inside = op.session.properties(folder, "childEntity").get("childEntity")
            if inside and op.session.properties_of_all([inside[0]], "name"):
                raise ProviderError("folder is not empty, please remove all items before deleting")
            op.wait(folder.Destroy_Task())
        except vmodl.MethodFault as e:
            raise ProviderError(f"cannot locate folder: {fault_text(e)}") from e

    def _tag(self, op: Operation, folder: Any, planned: Props, olds: Props | None = None) -> None:
        wanted, had = set(planned.get("tags") or []), set((olds or {}).get("tags") or [])
        for tag in sorted(had - wanted):
            op.session.tagging.detach(tag, "Folder", folder._moId)
        for tag in sorted(wanted - had):
            op.session.tagging.attach(tag, "Folder", folder._moId)

    def _state(self, op: Operation, folder: Any, before: Props) -> Props:
        path = inventory.relative_folder(op.session, folder)
        center = before.get("datacenterId")
        if not center:
            center = inventory.datacenter_of(op.session, folder)._moId
        return {
            "__meta": META,
            "id": folder._moId,
            "path": path,
            "type": before.get("type") or _kind(op, folder),
            "datacenterId": center,
            "customAttributes": before.get("customAttributes") or {},
            "tags": op.session.tagging.attached("Folder", folder._moId),
        }


def _kind(op: Operation, folder: Any) -> str:
    allowed = op.session.properties(folder, "childType").get("childType", [])
    if "VirtualMachine" in allowed:
        return "vm"
    if "ComputeResource" in allowed:
        return "host"
    return "datastore" if "Datastore" in allowed else "network"


def _create_fault(fault: BaseException) -> str:
    if isinstance(fault, vim.fault.DuplicateName):
        return "ServerFaultCode: DuplicateName"
    return fault_text(fault)
