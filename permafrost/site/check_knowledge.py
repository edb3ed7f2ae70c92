"""Rules about the knowledge tier: quorums, roles that a version has, ports, users."""

from __future__ import annotations

from collections.abc import Iterator

from permafrost.errors import Problem
from permafrost.site.knowledge import Milvus
from permafrost.site.model import Site

ON_MEMBERS_OF_THEIR_OWN = ("etcd", "object_store", "queue", "coordinators")
"""Roles of which two on one member would be lost together: they count once for a quorum."""

QUORUM = ("etcd", "object_store", "queue")
"""Roles that go on with one of three lost, and with none lost of two."""

VERSIONS_OF_ROLES = {"index": ("2.3.4", "2.3.5"), "streaming": ("2.6",)}
HERE = "knowledge.milvus"


def check_knowledge(site: Site) -> Iterator[Problem]:
    """Yield every problem of the knowledge tier."""
    if site.knowledge is None:
        return
    milvus = site.knowledge.milvus
    yield from _roles(milvus)
    yield from _object_store(milvus)
    yield from _users(milvus)
    for name, endpoint in sorted(site.inference.items()):
        if endpoint.port == milvus.port:
            yield Problem(
                "PORT_TAKEN",
                f"port {milvus.port} is the knowledge tier's on every edge",
                f"inference.{name}.port",
                f"take another one, or set {HERE}.port",
            )


def _roles(milvus: Milvus) -> Iterator[Problem]:
    roles = milvus.roles.model_dump()
    here = f"{HERE}.roles"
    if roles["etcd"] % 2 == 0:
        yield Problem(
            "ETCD_NOT_ODD",
            f"{roles['etcd']} etcd members survive no more losses than {roles['etcd'] - 1}",
            f"{here}.etcd",
            "use an odd number: 3 survive the loss of one, 5 of two",
        )
    for role in ON_MEMBERS_OF_THEIR_OWN:
        if roles[role] > milvus.nodes:
            yield Problem(
                "MILVUS_ROLE_CROWDED",
                f"{roles[role]} x {role} on {milvus.nodes} members: "
                "two would be lost with one member",
                f"{here}.{role}",
                f"lower it to at most {milvus.nodes}, or raise knowledge.milvus.nodes",
            )
    for role in QUORUM:
        if roles[role] == 2 and role != "etcd":
            yield Problem(
                "MILVUS_QUORUM_OF_TWO",
                f"2 x {role}: with either lost nothing is written any more",
                f"{here}.{role}",
                "use 3: one may be lost",
            )
    for role, versions in VERSIONS_OF_ROLES.items():
        if milvus.version in versions and not roles[role]:
            yield Problem(
                "MILVUS_ROLE_MISSING",
                f"Milvus {milvus.version} needs at least one node of the role {role}",
                f"{here}.{role}",
                "set it to 1 or more",
            )


def _object_store(milvus: Milvus) -> Iterator[Problem]:
    here, bundled = f"{HERE}.roles.object_store", milvus.roles.object_store
    if milvus.object_store is not None and bundled:
        yield Problem(
            "OBJECT_STORE_TWICE",
            f"{bundled} members would carry an object store, and {HERE}.object_store names "
            f"{milvus.object_store.place}: Milvus knows one",
            here,
            "leave it out, or remove the external one",
        )
    if milvus.object_store is not None and milvus.object_store_tls:
        yield Problem(
            "OBJECT_STORE_TLS_UNUSED",
            f"{milvus.object_store.place} is reached by TLS alone, and the bundled store, which "
            "this is about, is on no member",
            f"{HERE}.object_store_tls",
            "leave it out",
        )
    if milvus.object_store is None and not bundled:
        yield Problem(
            "OBJECT_STORE_MISSING",
            "nothing would keep what is known",
            here,
            f"set it to 3, or name an S3 endpoint in {HERE}.object_store",
        )


def _users(milvus: Milvus) -> Iterator[Problem]:
    for name, user in sorted(milvus.access.users.items()):
        here = f"{HERE}.access.users.{name}"
        if name == "root":
            yield Problem(
                "MILVUS_USER_RESERVED",
                "root is made at the installation, with a password that the state folder keeps",
                here,
                "name a user of its own",
            )
        for role in user.roles:
            if role not in milvus.access.roles:
                yield Problem(
                    "MILVUS_ROLE_UNKNOWN",
                    f"there is no role {role!r}",
                    f"{here}.roles",
                    f"add it to {HERE}.access.roles",
                )
