"""Finding things in vCenter's inventory: by path, by id, by UUID."""

from __future__ import annotations

from typing import Any

from lab.provider.errors import NotFoundError
from lab.provider.session import GONE, Session
from lab.provider.vsphere import vim, vmodl

FOLDER_OF = {"vm": "vmFolder", "host": "hostFolder", "datastore": "datastoreFolder",
             "network": "networkFolder"}  # fmt: skip


def datacenters(session: Session) -> list[Any]:
    """Return all datacenters, nested in folders or not."""
    return view(session, session.content.rootFolder, vim.Datacenter)


def view(session: Session, root: Any, kind: type) -> list[Any]:
    """Return everything of one kind below `root`."""
    container = session.content.viewManager.CreateContainerView(root, [kind], True)
    try:
        return list(container.view)
    finally:
        container.Destroy()


def named(session: Session, targets: list[Any], name: str) -> list[Any]:
    """Return those of `targets` that have this name."""
    names = session.properties_of_all(targets, "name")
    return [t for t in targets if names.get(t._moId, {}).get("name") == name]


def datacenter(session: Session, moid: str) -> Any:
    """Return the datacenter with this id."""
    found = session.reference(vim.Datacenter, moid)
    try:
        session.properties(found, "name")
    except vmodl.fault.ManagedObjectNotFound:
        raise NotFoundError(f"could not find datacenter with id: {moid}: {GONE}") from None
    return found


def default_datacenter(session: Session) -> Any:
    """Return the only datacenter there is."""
    found = datacenters(session)
    if len(found) != 1:
        raise NotFoundError("default datacenter resolves to multiple instances, please specify")
    return found[0]


def datacenter_of(session: Session, target: Any) -> Any:
    """Return the datacenter that an object stands in."""
    at = target
    while at is not None and not isinstance(at, vim.Datacenter):
        at = session.properties(at, "parent").get("parent")
    return at


def vm_by_uuid(session: Session, uuid: str) -> Any:
    """Return the virtual machine or template with this BIOS UUID."""
    found = session.content.searchIndex.FindByUuid(None, uuid, True, False) if uuid else None
    if found is None:
        raise NotFoundError(f'virtual machine with UUID "{uuid}" not found')
    return found


def by_path(session: Session, path: str) -> Any:
    """Return the object at an inventory path such as /DC0/vm/name, or None."""
    return session.content.searchIndex.FindByInventoryPath(path.strip("/"))


def root_path(session: Session, center: Any, kind: str) -> str:
    """Return the path of a datacenter's folder for one kind of thing: /DC0/vm."""
    return f"{path_of(session, center)}/{kind}"


def path_of(session: Session, target: Any) -> str:
    """Return the full inventory path of an object."""
    parts: list[str] = []
    at = target
    while at is not None and at._moId != session.content.rootFolder._moId:
        found = session.properties(at, "name", "parent")
        parts.append(str(found["name"]))
        at = found.get("parent")
    return "/" + "/".join(reversed(parts))


def folder_at(session: Session, center: Any, kind: str, path: str) -> Any:
    """Return the folder at a path relative to the datacenter's folder for this kind."""
    if not path.strip("/"):
        return session.properties(center, FOLDER_OF[kind])[FOLDER_OF[kind]]
    full = f"{root_path(session, center, kind)}/{path.strip('/')}"
    found = by_path(session, full)
    if not isinstance(found, vim.Folder):
        raise NotFoundError(f"folder '{full}' not found")
    return found


def relative_folder(session: Session, folder: Any) -> str:
    """Return a folder's path relative to its datacenter's folder of that kind ("" for that)."""
    parts: list[str] = []
    at = folder
    while True:
        found = session.properties(at, "name", "parent")
        parent = found.get("parent")
        if parent is None or isinstance(parent, vim.Datacenter):
            return "/".join(reversed(parts))
        parts.append(str(found["name"]))
        at = parent
