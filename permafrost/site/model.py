"""The site file as types: what an operator may say, and nothing else.

Unknown keys are refused. Paths are relative to the folder of the site file. Cross-field rules
that need more than one field live in ``permafrost.site.checks``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StringConstraints

from permafrost.site.inference import Backend, Endpoint, Gpu, GpuMode, VmShape
from permafrost.site.knowledge import Knowledge, Milvus, MilvusRoles
from permafrost.site.registry import Registry, RegistryNode, Signatures
from permafrost.site.tiers import CertificateFiles, Clients, Edge
from permafrost.site.values import (
    Address,
    AddressSpan,
    FilePath,
    HostName,
    InventoryName,
    Label,
    Server,
    Strict,
    Subnet,
    Text,
)

__all__ = [
    "Backend",
    "Capacity",
    "Clients",
    "Control",
    "Edge",
    "Endpoint",
    "FailureDomainLevel",
    "FailureDomains",
    "Gpu",
    "GpuMode",
    "HostLabels",
    "Knowledge",
    "Milvus",
    "MilvusRoles",
    "Network",
    "Registry",
    "RegistryNode",
    "Signatures",
    "Site",
    "Storage",
    "VmShape",
]


class FailureDomainLevel(StrEnum):
    """What anti-affinity separates."""

    HOST = "host"
    RACK = "rack"
    ROOM = "room"


class VCenter(Strict):
    """Where the site's VMs live. ``server`` is host or host:port."""

    server: Server
    user: Text
    password_file: FilePath
    ca_file: FilePath | None = None
    allow_unverified_ssl: StrictBool = False
    datacenter: InventoryName
    cluster: InventoryName
    datastore: InventoryName
    network: InventoryName = Field(description="port group of the nodes")
    template: InventoryName
    folder: InventoryName = "permafrost"
    resource_pool: InventoryName = "permafrost"


class FailureDomains(Strict):
    """Which boundary keeps the members of a group apart: of an endpoint, the edges, the knowledge.

    Members stand on hosts of their own at every level.
    """

    level: FailureDomainLevel = FailureDomainLevel.HOST
    members_per_domain: StrictInt = Field(
        default=1, ge=1, le=999, description="rack and room: most members of a group in one"
    )


class HostLabels(Strict):
    """Where an ESXi host stands."""

    rack: Label | None = None
    room: Label | None = None


class Capacity(Strict):
    """How far hosts may be filled."""

    cpu_overcommit: StrictFloat = Field(
        default=1.0, ge=1, le=16, allow_inf_nan=False, description="virtual CPUs a host thread"
    )
    host_memory_reserve_mib: StrictInt = Field(
        default=8192, ge=0, le=1024 * 1024, description="left to ESXi on each host"
    )


class Network(Strict):
    """Static addresses of the nodes are taken from ``addresses`` in node order."""

    port_group: InventoryName | None = Field(
        default=None, description="default: `vcenter.network`"
    )
    subnet: Subnet
    gateway: Address
    addresses: AddressSpan
    dns: tuple[Address, ...] = ()
    time_servers: tuple[Address, ...] = Field(
        default=(),
        max_length=8,
        description="NTP servers of the nodes in this network; default: the template's own clock",
    )


class Storage(Strict):
    """Datastores by tier; the default of each is ``vcenter.datastore``."""

    edge: InventoryName | None = None
    inference: InventoryName | None = None
    knowledge: InventoryName | None = None
    registry: InventoryName | None = None


class Packages(Strict):
    """The site's Debian package source for the nodes (signed; nodes reach no other)."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\x00-\x20\x7f]+$")]
    suite: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9./-]*$")] = "trixie"
    key_file: FilePath


class Tls(Strict):
    """An authority of the site's owner that signs the nodes' certificates."""

    authority: CertificateFiles


class Control(Strict):
    """Where Permafrost keeps what it knows, and where Pulumi keeps its state."""

    state_dir: FilePath = "state"
    pulumi_stack: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}$")] = "lab"
    pulumi_backend: (
        Annotated[
            str, StringConstraints(pattern=r"^(file|s3|gs|azblob|postgres|https)://[^\x00-\x20]+$")
        ]
        | None
    ) = Field(
        default=None,
        description="default: a folder below `state_dir`; `file://` folders must be there",
    )
    secrets_provider: Annotated[
        str,
        StringConstraints(
            pattern=r"^(passphrase|(awskms|azurekeyvault|gcpkms|hashivault)://[^\x00-\x20]+)$"
        ),
    ] = "passphrase"
    passphrase_file: FilePath | None = None
    pulumi_dir: FilePath | None = Field(
        default=None, description="folder that holds `pulumi`, where it is not on PATH"
    )


class NodeSettings(Strict):
    """Site-wide settings of the nodes' container runtime."""

    container_cgroups: StrictBool = Field(
        default=True, description="false only where the cgroup tree has no controllers (the lab)"
    )


class Site(Strict):
    """A whole site."""

    schema_version: Literal[1] = Field(alias="schema")
    site: Label
    environment: Literal["lab", "hardware"] = "hardware"
    vcenter: VCenter
    failure_domains: FailureDomains = FailureDomains()
    hosts: dict[HostName, HostLabels] = Field(
        default={}, description="labels of ESXi hosts; the hosts themselves come from vCenter"
    )
    capacity: Capacity = Capacity()
    network: Network
    networks: dict[Label, Network] = Field(
        default={}, description="further networks that tiers and endpoints may name"
    )
    storage: Storage = Storage()
    inference: dict[Label, Endpoint] = Field(min_length=1)
    edge: Edge = Edge()
    knowledge: Knowledge | None = None
    registry: Registry
    packages: Packages
    tls: Tls | None = Field(
        default=None, description="without it, an authority made by Permafrost"
    )
    control: Control
    nodes: NodeSettings = NodeSettings()
