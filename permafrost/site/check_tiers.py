"""Rules about edges and the control plane; those of the knowledge tier are its own."""

from __future__ import annotations

from collections.abc import Iterator

from permafrost.errors import Problem
from permafrost.site.check_knowledge import check_knowledge
from permafrost.site.check_registry import check_registry
from permafrost.site.model import Site

FIRST_SUITE = "trixie"
EARLIER_SUITES = frozenset({"bookworm", "bullseye", "buster", "stretch", "oldstable"})
"""Of Debian: HAProxy before 3.0, keepalived that counts whole seconds, Podman without quadlets."""


def check_tiers(site: Site) -> Iterator[Problem]:
    """Yield every problem of the tiers around the replicas, and of the control plane."""
    yield from _edge(site)
    yield from check_knowledge(site)
    yield from check_registry(site)
    yield from _packages(site)
    yield from _control(site)


def _packages(site: Site) -> Iterator[Problem]:
    suite = site.packages.suite
    if suite.partition("/")[0].partition("-")[0] in EARLIER_SUITES:
        yield Problem(
            "PACKAGES_SUITE_TOO_OLD",
            f"{suite}: its HAProxy, keepalived and Podman do not take what nodes are told",
            "packages.suite",
            f"give the nodes a source of {FIRST_SUITE} or later, and a template of that release",
        )


def _edge(site: Site) -> Iterator[Problem]:
    edge = site.edge
    if edge.nodes > 1 and edge.vip is None:
        yield Problem(
            "EDGE_VIP_MISSING",
            f"{edge.nodes} edges, and no address that moves between them",
            "edge.vip",
            "give a free address of the edges' subnet, or set nodes to 1",
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
