"""Rules about edges, the knowledge tier and the control plane."""

from __future__ import annotations

from collections.abc import Iterator

from permafrost.errors import Problem
from permafrost.site.model import Site

ON_MEMBERS_OF_THEIR_OWN = ("etcd", "object_store", "queue", "coordinators")
"""Roles of which two on one member would be lost together: they count once for a quorum."""


def check_tiers(site: Site) -> Iterator[Problem]:
    """Yield every problem of the tiers around the replicas, and of the control plane."""
    yield from _edge(site)
    yield from _knowledge(site)
    yield from _control(site)


def _edge(site: Site) -> Iterator[Problem]:
    edge = site.edge
    if edge.nodes > 1 and edge.vip is None:
        yield Problem(
            "EDGE_VIP_MISSING",
            f"{edge.nodes} edges, and no address that moves between them",
            "edge.vip",
            "give a free address of the edges' subnet, or set nodes to 1",
        )


def _knowledge(site: Site) -> Iterator[Problem]:
    if site.knowledge is None:
        return
    milvus = site.knowledge.milvus
    roles = milvus.roles.model_dump()
    here = "knowledge.milvus.roles"
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


def _control(site: Site) -> Iterator[Problem]:
    control = site.control
    by_passphrase = control.secrets_provider == "passphrase"
    if by_passphrase and control.passphrase_file is None:
        yield Problem(
            "PASSPHRASE_FILE_MISSING",
            "secrets in Pulumi's state are encrypted by a passphrase, and no file holds one",
            "control.passphrase_file",
            "name a file that only you may read, or another secrets_provider",
        )
    if not by_passphrase and control.passphrase_file is not None:
        yield Problem(
            "PASSPHRASE_FILE_UNUSED",
            f"secrets_provider is {control.secrets_provider.partition(':')[0]}: "
            "no passphrase is used",
            "control.passphrase_file",
            "remove it, or set secrets_provider to passphrase",
        )
