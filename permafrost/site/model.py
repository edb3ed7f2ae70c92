"""The site file as types: what an operator may say, and nothing else.

Unknown keys are refused. Paths are relative to the folder of the site file. Cross-field rules
that need more than one field live in ``permafrost.site.checks``.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Label = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,19}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
PinnedModel = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._/-]*@sha256:[0-9a-f]{64}$")
]
PinnedImage = PinnedModel
ModelReference = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9._/-]*@(sha256:[0-9a-f]{64}|staging|production)$"),
]
VendorDevice = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{4}:[0-9a-f]{4}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FailureDomainLevel(StrEnum):
    """What anti-affinity separates."""

    HOST = "host"


class GpuMode(StrEnum):
    """How an endpoint's VMs get their accelerator."""

    PASSTHROUGH = "passthrough"
    NONE = "none"


class Backend(StrEnum):
    """The Triton backend that serves an endpoint."""

    LLAMACPP = "llamacpp"
    PULSE = "pulse"


class VCenter(_Strict):
    """Where the site's VMs live. ``server`` is host or host:port."""

    server: str
    user: str
    password_file: str
    ca_file: str | None = None
    allow_unverified_ssl: bool = False
    datacenter: str
    cluster: str
    datastore: str
    network: str
    template: str
    folder: str = "permafrost"
    resource_pool: str = "permafrost"


class FailureDomains(_Strict):
    """Which boundary no two replicas of an endpoint may share."""

    level: FailureDomainLevel = FailureDomainLevel.HOST


class Network(_Strict):
    """Static addresses of the nodes are taken from ``addresses`` in node order."""

    subnet: IPv4Network
    gateway: IPv4Address
    addresses: Annotated[str, StringConstraints(pattern=r"^[0-9.]+-[0-9.]+$")]
    dns: tuple[IPv4Address, ...] = ()


class VmShape(_Strict):
    """Size of a VM. Memory is reserved in full where a GPU is passed through."""

    cpus: int = Field(default=4, ge=1, le=256)
    memory_mib: int = Field(default=8192, ge=512, le=6 * 1024 * 1024, multiple_of=4)
    disk_gib: int = Field(default=40, ge=10, le=62 * 1024)


class Gpu(_Strict):
    """Accelerator demand of one VM."""

    mode: GpuMode = GpuMode.NONE
    vendor_device: VendorDevice | None = None
    count: int = Field(default=1, ge=1, le=16)
    mmio_gib: int = Field(default=256, ge=1, le=4096, description="pciPassthru.64bitMMIOSizeGB")


class Endpoint(_Strict):
    """One public model name, served by replicas of one frozen checkpoint."""

    model: ModelReference = Field(
        description="name@sha256:…, or name@stage, for which models.lock says the digest"
    )
    backend: Backend
    image: PinnedImage
    replicas: int = Field(ge=1, le=999)
    min_ready: int = Field(ge=1)
    port: int = Field(ge=1, le=65535, description="port of this endpoint on every edge")
    gpu: Gpu = Gpu()
    vm: VmShape = VmShape()
    max_context_tokens: int = Field(default=2048, ge=16)
    max_concurrent: int = Field(default=1, ge=1, le=100000)
    drain_deadline_s: int = Field(default=120, ge=1, le=3600)
    drain_idle_stream_s: int = Field(
        default=10,
        ge=1,
        le=3600,
        description="a stream that only waits this long is ended by a drain",
    )
    start_deadline_s: int = Field(
        default=180, ge=10, le=7200, description="from power-on to the first answer; load included"
    )


class Clients(_Strict):
    """Who may ask."""

    keys: Literal["none", "required"] = "none"


class Edge(_Strict):
    """The HAProxy front end. Two nodes need a ``vip``; one may have one."""

    nodes: Literal[1, 2] = 1
    vip: IPv4Address | None = Field(
        default=None, description="the address that clients use; it moves between edges"
    )
    vrrp_id: int = Field(default=51, ge=1, le=255, description="unique in the edges' network")
    clients: Clients = Clients()
    vm: VmShape = VmShape(cpus=2, memory_mib=2048, disk_gib=20)


class Signatures(_Strict):
    """Whose signatures a checkpoint needs, and before what; one of the signers is enough."""

    signers: dict[Label, str] = Field(
        min_length=1, description="PEM files: a public key, or an authority's certificates"
    )
    required_for: tuple[Literal["promote", "deploy"], ...] = ("promote", "deploy")


class Registry(_Strict):
    """The site's OCI registry: images and checkpoints come from here and nowhere else."""

    url: Annotated[str, StringConstraints(pattern=r"^oci://[A-Za-z0-9.-]+(:[0-9]+)?$")]
    username: str
    password_file: str
    ca_file: str
    signatures: Signatures | None = None


class Packages(_Strict):
    """The site's Debian package source for the nodes (signed; nodes reach no other)."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://")]
    suite: str = "trixie"
    key_file: str


class Control(_Strict):
    """Where Permafrost keeps what it knows."""

    state_dir: str = "state"
    pulumi_stack: str = "lab"
    passphrase_file: str
    pulumi_dir: str | None = Field(
        default=None, description="folder that holds `pulumi`, where it is not on PATH"
    )


class NodeSettings(_Strict):
    """Site-wide settings of the nodes' container runtime."""

    container_cgroups: bool = Field(
        default=True, description="false only where the cgroup tree has no controllers (the lab)"
    )


class Site(_Strict):
    """A whole site."""

    schema_version: Literal[1] = Field(alias="schema")
    site: Label
    environment: Literal["lab", "hardware"] = "hardware"
    vcenter: VCenter
    failure_domains: FailureDomains = FailureDomains()
    network: Network
    inference: dict[Label, Endpoint] = Field(min_length=1)
    edge: Edge = Edge()
    registry: Registry
    packages: Packages
    control: Control
    nodes: NodeSettings = NodeSettings()
