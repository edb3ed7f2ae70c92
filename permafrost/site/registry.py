"""The registry of the site file: one that is there already, or a VM of the site."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address
from typing import Annotated, Literal

from pydantic import Field, StrictInt, StringConstraints

from permafrost.site.inference import VmShape
from permafrost.site.values import Address, DevicePath, FilePath, Label, Strict, Subnet, Text

HTTPS_PORT = 443
NODES_USER = "permafrost-nodes"
"""Who the nodes are to a registry on a VM of the site: they read, and write nothing."""


class Signatures(Strict):
    """Whose signatures a checkpoint needs, and before what; one of the signers is enough."""

    signers: dict[Label, FilePath] = Field(
        min_length=1, description="PEM files: a public key, or an authority's certificates"
    )
    required_for: tuple[Literal["promote", "deploy", "fingerprint"], ...] = Field(
        default=("promote", "deploy"),
        description="fingerprint: baselines that nobody signed are compared with nothing",
    )


class RegistryNode(Strict):
    """A VM of the site that is its registry, with a disk for what it holds.

    Its address is its own and stands in ``registry.url``, or behind the name there. Its
    certificate is of the site's authority. ``registry.username`` writes; nodes have a user of
    their own.
    """

    address: Address
    vm: VmShape = VmShape(cpus=4, memory_mib=8192, disk_gib=40)
    data_disk_gib: StrictInt = Field(default=500, ge=10, le=62 * 1024)
    data_device: DevicePath = "/dev/sdb"
    network: Label | None = Field(default=None, description="one of `networks`")
    clients: tuple[Subnet, ...] = Field(
        default=(),
        description="networks that may reach it besides the nodes; default: everybody",
    )


class Registry(Strict):
    """The site's OCI registry: images and checkpoints come from here and nowhere else."""

    url: Annotated[str, StringConstraints(pattern=r"^oci://[A-Za-z0-9.-]+(:[0-9]+)?$")]
    username: Text
    password_file: FilePath
    ca_file: FilePath | None = Field(
        default=None, description="authority of its certificate; not with `node`"
    )
    signatures: Signatures | None = None
    node: RegistryNode | None = Field(
        default=None, description="a VM that is made for it; default: the registry is there"
    )

    @property
    def reader(self) -> str:
        """The user that nodes pull as."""
        return NODES_USER if self.node is not None else self.username

    @property
    def authority(self) -> str:
        """Name or address and, where it is named, the port, as a URL has them."""
        return self.url.removeprefix("oci://")

    @property
    def host(self) -> str:
        """The name or address in ``url``."""
        return self.authority.partition(":")[0]

    @property
    def host_address(self) -> IPv4Address | None:
        """The address in ``url``; None where a name stands there."""
        try:
            return IPv4Address(self.host)
        except AddressValueError:
            return None

    @property
    def port(self) -> int:
        """The port in ``url``, or that of HTTPS."""
        return int(self.authority.partition(":")[2] or HTTPS_PORT)
