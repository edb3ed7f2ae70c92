"""A lab whose registry is a VM of the site, from nothing: up, and not deployed yet."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.testrun.ownlab import owned
from tests.acceptance.driver import ROOT, Cli, VCenter, vcenter
from tests.acceptance.ownsite import PROGRAMS, folder, lab, permafrost

__all__ = ["folder", "lab", "permafrost"]
TEMPLATE = ROOT / "sites" / "lab-registry.yaml"


@pytest.fixture(scope="session")
def site_env() -> Iterator[dict[str, str]]:
    """The environment of a site: the one that is named, else a new one, removed afterwards."""
    if "PERMAFROST_SITE" in os.environ:
        yield dict(os.environ)
        return
    name = f"g{os.getpid() % 0xFFFF:04x}"
    env = {**os.environ, "PERMAFROST_LAB": name}
    program = Cli(PROGRAMS / "permafrost-lab", env)
    with owned(name):
        try:
            program.run("up", "--like", str(TEMPLATE), timeout=1800)
            yield {**env, "PERMAFROST_SITE": str(ROOT / ".lab" / name / "site.yaml")}
        finally:
            program.run("down")


@pytest.fixture
def vsphere(lab: Cli) -> Iterator[VCenter]:
    """The lab's vCenter through pyvmomi."""
    with vcenter(lab.json("status")) as session:
        yield session


@pytest.fixture
def status(permafrost: Cli) -> Callable[[], dict[str, Any]]:
    """Return a function that asks for the site's status."""
    return lambda: permafrost.json("status")


@pytest.fixture(scope="session")
def skopeo() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs skopeo with what it is to trust."""

    def run(*argv: str, ca: Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "SSL_CERT_FILE": str(ca)}
        return Cli(Path("/usr/bin/skopeo"), env).run(*argv, expect=expect, timeout=600)

    return run
