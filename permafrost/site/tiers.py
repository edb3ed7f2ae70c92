"""The tiers around the replicas: edges in front, knowledge beside."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictInt

from permafrost.site.inference import VmShape
from permafrost.site.values import Address, AddressSpan, FilePath, Label, Strict, Subnet


class CertificateFiles(Strict):
    """A certificate (with its chain) and its key, both PEM."""

    certificate_file: FilePath
    key_file: FilePath


class Clients(Strict):
    """Who may ask. Without ``networks``, everybody who reaches the edge."""

    networks: tuple[Subnet, ...] = ()
    keys: Literal["none", "required"] = "none"


class Edge(Strict):
    """The HAProxy front end."""

    nodes: StrictInt = Field(default=1, ge=1, le=9)
    vm: VmShape = VmShape(cpus=2, memory_mib=2048, disk_gib=20)
    network: Label | None = Field(default=None, description="one of `networks`")
    addresses: AddressSpan | None = None
    vip: Address | None = Field(
        default=None, description="the address that clients use; it moves between edges"
    )
    vrrp_id: StrictInt = Field(
        default=51, ge=1, le=255, description="unique in the edges' network"
    )
    tls: CertificateFiles | None = Field(
        default=None, description="without it, certificates of the site's own authority"
    )
    clients: Clients = Clients()


class MilvusRoles(Strict):
    """How many of each role, over all members. Defaults survive the loss of any one member."""

    etcd: StrictInt = Field(default=3, ge=1, le=9)
    object_store: StrictInt = Field(default=3, ge=1, le=32)
    queue: StrictInt = Field(default=3, ge=1, le=32, description="message queue brokers")
    coordinators: StrictInt = Field(default=2, ge=1, le=2, description="active and standby")
    query: StrictInt = Field(default=4, ge=1, le=999, description="two replicas need four")
    data: StrictInt = Field(default=2, ge=1, le=999)
    index: StrictInt = Field(default=1, ge=1, le=999)
    proxies: StrictInt = Field(default=2, ge=1, le=99)


class Milvus(Strict):
    """A Milvus cluster on VMs; its members stand on failure domains of their own."""

    nodes: StrictInt = Field(default=3, ge=1, le=99)
    roles: MilvusRoles = MilvusRoles()
    vm: VmShape = VmShape(cpus=8, memory_mib=32768, disk_gib=40)
    data_disk_gib: StrictInt = Field(default=200, ge=10, le=62 * 1024)
    network: Label | None = Field(default=None, description="one of `networks`")
    addresses: AddressSpan | None = None


class Knowledge(Strict):
    """Where knowledge lives: outside the models."""

    milvus: Milvus = Milvus()
