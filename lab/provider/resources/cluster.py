"""What the cluster's rules and overrides share: the cluster, and changing its configuration."""

from __future__ import annotations

from typing import Any

from lab.provider import inventory
from lab.provider.errors import NotFoundError, ProviderError
from lab.provider.session import Operation, Session, fault_text
from lab.provider.vsphere import vim, vmodl

CLUSTER = vim.ClusterComputeResource


def cluster_of(session: Session, moid: str) -> Any:
    """Return the cluster with this id; raises ProviderError when there is none."""
    found = session.reference(CLUSTER, moid)
    try:
        session.properties(found, "name")
    except vmodl.MethodFault as e:
        raise ProviderError(f"cannot locate cluster: {fault_text(e)}") from e
    return found


def configuration(session: Session, moid: str) -> Any:
    """Return the extended configuration of a cluster."""
    return session.properties(session.reference(CLUSTER, moid), "configurationEx")[
        "configurationEx"
    ]


def reconfigure(op: Operation, moid: str, **changes: Any) -> None:
    """Change a cluster's configuration, leaving the rest of it as it is."""
    cluster = op.session.reference(CLUSTER, moid)
    spec = vim.cluster.ConfigSpecEx(**changes)
    op.wait(cluster.ReconfigureComputeResource_Task(spec, True))


def machine(session: Session, uuid: str) -> Any:
    """Return the virtual machine with this UUID."""
    return inventory.vm_by_uuid(session, uuid)


def located(session: Session, uuid: str) -> Any:
    """Return the machine that an override is of; raises ProviderError in the plugin's words."""
    try:
        return machine(session, uuid)
    except NotFoundError as e:
        raise ProviderError(f"cannot locate virtual machine: {e}") from e


def uuids(session: Session, machines: list[Any]) -> list[str]:
    """Return the UUIDs of virtual machines, sorted: members of a rule are a set."""
    found = session.properties_of_all(list(machines), "config.uuid")
    return sorted(str(p["config.uuid"]) for p in found.values() if "config.uuid" in p)


def split_id(resource_id: str) -> tuple[str, str]:
    """Return the cluster and the member of an id such as domain-c8:1001."""
    cluster, _, member = resource_id.partition(":")
    return cluster, member
