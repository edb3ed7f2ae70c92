"""The tier in front of the replicas: the edges."""

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
    """Who may ask. Without ``networks``, everybody who reaches the edge.

    The computer that Permafrost works on must be among them: its last check is a question.
    """

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
