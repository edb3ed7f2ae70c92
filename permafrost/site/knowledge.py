"""The knowledge tier of the site file: a Milvus cluster on VMs, and who may do what in it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictInt, StringConstraints, model_validator

from permafrost.site.inference import VmShape
from permafrost.site.object_store import ObjectStore
from permafrost.site.values import AddressSpan, DevicePath, FilePath, Label, PinnedImage, Strict

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,31}$")]
"""A name as Milvus takes it: of a user, a role, a collection."""

Privilege = Literal[
    "Search",
    "Query",
    "Insert",
    "Delete",
    "Upsert",
    "Load",
    "Release",
    "Flush",
    "Compaction",
    "GetLoadState",
    "GetLoadingProgress",
    "GetStatistics",
    "IndexDetail",
    "CreateIndex",
    "DropIndex",
]


class MilvusRoles(Strict):
    """How many of each role, over all members. Defaults survive the loss of any one member."""

    etcd: StrictInt = Field(default=3, ge=1, le=9)
    object_store: StrictInt = Field(
        default=3, ge=0, le=32, description="nodes of the bundled one; 0 beside an external one"
    )
    queue: StrictInt = Field(default=3, ge=1, le=32, description="message queue brokers")
    coordinators: StrictInt = Field(default=2, ge=1, le=2, description="active and standby")
    query: StrictInt = Field(default=4, ge=1, le=999, description="two replicas need four")
    data: StrictInt = Field(default=2, ge=1, le=999)
    index: StrictInt = Field(default=1, ge=0, le=999, description="2.3: builds indexes")
    streaming: StrictInt = Field(default=0, ge=0, le=999, description="2.6: write-ahead log")
    proxies: StrictInt = Field(default=2, ge=1, le=99)


class MilvusImages(Strict):
    """The servers' container images, in the site's registry."""

    milvus: PinnedImage
    etcd: PinnedImage
    queue: PinnedImage
    object_store: PinnedImage | None = Field(default=None, description="of the bundled one")


class Grant(Strict):
    """What a role may do with one collection; the collection may come later."""

    collection: Identifier
    privileges: tuple[Privilege, ...] = Field(min_length=1)


class MilvusUser(Strict):
    """A user of the cluster; ``password_file`` is closed to others."""

    password_file: FilePath
    roles: tuple[Identifier, ...] = ()


class MilvusAccess(Strict):
    """Users, roles and grants. What the site file does not name is left alone."""

    roles: dict[Identifier, tuple[Grant, ...]] = Field(default={})
    users: dict[Identifier, MilvusUser] = Field(default={})


class VectorIndex(StrEnum):
    """An index in memory, by its name in Milvus."""

    FLAT = "FLAT"
    IVF_FLAT = "IVF_FLAT"
    IVF_SQ8 = "IVF_SQ8"
    HNSW = "HNSW"


class Collection(Strict):
    """What a collection is expected to hold; memory is reckoned from it, nothing is made."""

    vectors: StrictInt = Field(ge=1, le=10**11, description="rows, each with one vector")
    dimension: StrictInt = Field(ge=1, le=32768, description="of float32")
    index: VectorIndex = VectorIndex.HNSW
    m: StrictInt = Field(default=16, ge=2, le=2048, description="HNSW: links of a vector")


class Milvus(Strict):
    """A Milvus cluster on VMs; its members stand on failure domains of their own."""

    version: Literal["2.3.4", "2.3.5", "2.6"] = Field(
        default="2.3.5", description="of the milvus image; which roles there are"
    )
    images: MilvusImages | None = Field(default=None, description="`deploy` needs them")
    nodes: StrictInt = Field(default=3, ge=1, le=99)
    roles: MilvusRoles = MilvusRoles()
    object_store: ObjectStore | None = Field(
        default=None, description="one that is there; default: bundled, on the members"
    )
    etcd_tls: StrictBool = Field(
        default=True, description="TLS with client certificates to etcd; for a new cluster alone"
    )
    object_store_tls: StrictBool = Field(
        default=True, description="TLS to the bundled object store; for a new cluster alone"
    )
    queue_tls: StrictBool = Field(
        default=True, description="TLS with client certificates to Kafka; for a new cluster alone"
    )
    port: StrictInt = Field(default=19530, ge=1, le=65535, description="gRPC, on every edge")
    access: MilvusAccess = MilvusAccess()
    collections: dict[Identifier, Collection] = Field(
        default={}, description="expected: `preflight` says whether memory suffices"
    )
    vm: VmShape = VmShape(cpus=8, memory_mib=32768, disk_gib=40)
    data_disk_gib: StrictInt = Field(default=200, ge=10, le=62 * 1024)
    data_device: DevicePath = "/dev/sdb"
    network: Label | None = Field(default=None, description="one of `networks`")
    addresses: AddressSpan | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_bundled_store_beside_an_external_one(cls, values: Any) -> Any:
        """An external store leaves none to the members, unless the file says a number."""
        if isinstance(values, dict) and values.get("object_store") is not None:
            values = {"object_store_tls": False, **values}
            roles = values.get("roles", {})
            if isinstance(roles, dict):
                return {**values, "roles": {"object_store": 0, **roles}}
        return values


class Knowledge(Strict):
    """Where knowledge lives: outside the models."""

    milvus: Milvus = Milvus()
