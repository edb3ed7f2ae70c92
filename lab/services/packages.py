"""The package source of an instance: the built repository, served on the bridge."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx

from lab.instance.model import CHECKOUT, Instance
from lab.services.daemon import Daemon

KEY = "packages.asc"
SUITE = "trixie"


def daemon(instance: Instance, repository: Path) -> Daemon:
    """Return the package server over a repository."""
    probe = f"{instance.packages_url}/dists/{SUITE}/InRelease"

    def ready() -> bool:
        try:
            return httpx.get(probe, timeout=5, trust_env=False).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    return Daemon(
        instance,
        "packages",
        argv=[
            sys.executable,
            *("-m", "lab.services.packages_server", instance.gateway),
            str(instance.allocation.packages_port),
            str(repository),
        ],
        ready=ready,
        env={"PYTHONPATH": str(CHECKOUT)},
    )


def ensure(instance: Instance, repository: Path) -> None:
    """Serve the repository; keep its key where the site file names it."""
    (instance.root / KEY).write_bytes((repository / "key.asc").read_bytes())
    daemon(instance, repository).ensure()
