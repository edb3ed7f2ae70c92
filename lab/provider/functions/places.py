"""Where machines can be: datacenters, clusters, datastores, networks, pools, folders."""

from __future__ import annotations

from typing import Any

from lab.provider import inventory
from lab.provider.errors import NotFoundError, ProviderError
from lab.provider.session import Session
from lab.provider.values import Props
from lab.provider.vsphere import vim


def center_of(session: Session, args: Props) -> Any:
    """Return the datacenter that the arguments name, or the only one."""
    if args.get("datacenterId"):
        try:
            return inventory.datacenter(session, args["datacenterId"])
        except NotFoundError as e:
            raise ProviderError(f"cannot locate datacenter: {e}") from e
    return inventory.default_datacenter(session)


def _one_below(session: Session, center: Any, folder: str, kind: type, name: str) -> Any:
    """Return the object of one kind and name below a datacenter's folder, or None."""
    root = session.properties(center, inventory.FOLDER_OF[folder])[inventory.FOLDER_OF[folder]]
    found = inventory.by_path(
        session, f"{inventory.root_path(session, center, folder)}/{name.strip('/')}"
    )
    if isinstance(found, kind):
        return found
    several = inventory.named(session, inventory.view(session, root, kind), name)
    return several[0] if several else None


def get_datacenter(session: Session, args: Props) -> Props:
    """Return a datacenter, or the only one."""
    every = inventory.datacenters(session)
    if args.get("name"):
        every = inventory.named(session, every, args["name"])
        if not every:
            raise ProviderError(
                f"error fetching datacenter: datacenter '{args['name']}' not found"
            )
    if len(every) != 1:
        raise ProviderError(
            "error fetching datacenter: default datacenter resolves to multiple instances"
        )
    folder = session.properties(every[0], "vmFolder")["vmFolder"]
    machines = inventory.view(session, folder, vim.VirtualMachine)
    names = session.properties_of_all(machines, "name")
    return {
        **args,
        "id": every[0]._moId,
        "virtualMachines": sorted(str(p["name"]) for p in names.values()),
    }


def get_compute_cluster(session: Session, args: Props) -> Props:
    """Return a cluster and its root pool."""
    try:
        center = center_of(session, args)
    except ProviderError as e:
        raise ProviderError(f"error loading cluster: {e}") from e
    kind = vim.ClusterComputeResource
    found = _one_below(session, center, "host", kind, args["name"])
    if found is None:
        raise ProviderError(f"error loading cluster: cluster '{args['name']}' not found")
    pool = session.properties(found, "resourcePool")["resourcePool"]
    return {**args, "id": found._moId, "resourcePoolId": pool._moId}


def get_datastore(session: Session, args: Props) -> Props:
    """Return a datastore with its capacity."""
    center = center_of(session, args)
    found = _one_below(session, center, "datastore", vim.Datastore, args["name"])
    if found is None:
        raise ProviderError(f"error fetching datastore: datastore '{args['name']}' not found")
    summary = session.properties(found, "summary")["summary"]
    stats = {"capacity": str(summary.capacity), "free": str(summary.freeSpace)}
    return {**args, "id": found._moId, "stats": stats}


def get_network(session: Session, args: Props) -> Props:
    """Return a network or a distributed port group."""
    center = center_of(session, args)
    found = _one_below(session, center, "network", vim.Network, args["name"])
    if found is None:
        raise ProviderError(f"Network {args['name']} not found")
    return {
        "retryInterval": 500,
        "retryTimeout": 0,
        **args,
        "id": found._moId,
        "type": type(found).__name__.rsplit(".", 1)[-1],
    }


def get_resource_pool(session: Session, args: Props) -> Props:
    """Return a resource pool by its path below the datacenter's hosts."""
    if not args.get("name"):
        raise ProviderError(
            "argument 'name' is required when 'parent_resource_pool_id' is not specified"
        )
    if args.get("parentResourcePoolId"):
        parent = session.reference(vim.ResourcePool, args["parentResourcePoolId"])
        children = session.properties(parent, "resourcePool").get("resourcePool", [])
        found = (inventory.named(session, list(children), args["name"]) or [None])[0]
    else:
        found = _one_below(
            session, center_of(session, args), "host", vim.ResourcePool, args["name"]
        )
    if found is None:
        name = args["name"]
        raise ProviderError(
            f"error fetching resource pool by path \"{name}\": resource pool '{name}' not found"
        )
    return {**args, "id": found._moId}


def get_folder(session: Session, args: Props) -> Props:
    """Return a folder by its full path."""
    found = inventory.by_path(session, args["path"])
    if not isinstance(found, vim.Folder):
        raise ProviderError(f"cannot locate folder: folder '{args['path']}' not found")
    return {**args, "id": found._moId}
