"""A running site for every scenario: healthy before each one, its state told when one fails."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.driver import ROOT, Cli, VCenter, machine, vcenter, wait_until
from tests.acceptance.versions import Versions, two_versions


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What ends the site runs when nothing is left that needs it, whatever its file's name."""
    items.sort(key=lambda item: "ends_the_site" in item.keywords)


@pytest.fixture(scope="session")
def lab() -> Cli:
    """``permafrost-lab`` for the instance under test."""
    return Cli(ROOT / ".venv/bin/permafrost-lab")


@pytest.fixture(scope="session")
def instance(lab: Cli) -> dict[str, Any]:
    """What ``permafrost-lab status`` says of the instance under test."""
    status: dict[str, Any] = lab.json("status")
    return status


@pytest.fixture(scope="session")
def site_file() -> Path:
    """The rendered site file of the instance under test."""
    return Path(os.environ["PERMAFROST_SITE"])


@pytest.fixture(scope="session")
def permafrost(site_file: Path) -> Cli:
    """``permafrost`` for the site under test."""
    return Cli(ROOT / ".venv/bin/permafrost", {**os.environ, "PERMAFROST_SITE": str(site_file)})


@pytest.fixture(scope="session")
def shell(permafrost: Cli) -> Callable[..., Any]:
    """Return a function that runs a shell line after ``eval "$(permafrost env)"``."""

    def run(line: str, expect: int | None = 0, timeout: float = 600) -> Any:
        script = f'set -e; eval "$({permafrost.program} env)"; {line}'
        return Cli(Path("/bin/bash"), permafrost.env).run(
            "-c", script, expect=expect, timeout=timeout
        )

    return run


@pytest.fixture(scope="session")
def ca_file(site_file: Path) -> Path:
    """The certificate of the site's own CA, all that a client has to trust."""
    return site_file.parent / "state/pki/ca.pem"


@pytest.fixture
def client(ca_file: Path) -> Iterator[httpx.Client]:
    """An HTTP client that trusts the site's CA alone."""
    context = ssl.create_default_context(cafile=str(ca_file))
    with httpx.Client(verify=context, timeout=60) as session:
        yield session


@pytest.fixture
def vsphere(instance: dict[str, Any]) -> Iterator[VCenter]:
    """The lab's vCenter through pyvmomi."""
    with vcenter(instance) as session:
        yield session


@pytest.fixture(scope="session")
def on(lab: Cli, site_file: Path) -> Callable[[str], Any]:
    """Return a function from a machine's name to its inside, with testinfra over SSH as root."""
    return partial(machine, lab, site_file.parent / "state")


@pytest.fixture
def status(permafrost: Cli) -> Callable[[], dict[str, Any]]:
    """Return a function that asks for the site's status."""
    return lambda: permafrost.json("status")


@pytest.fixture(scope="session")
def versions(
    site_file: Path, permafrost: Cli, tmp_path_factory: pytest.TempPathFactory
) -> Versions:
    """The pulse that the lab deploys, and a fine-tuned one that its registry gets."""
    return two_versions(site_file, permafrost, tmp_path_factory.mktemp("models"))


def replica_state(document: dict[str, Any], name: str) -> str:
    """Return one replica's state out of a status document."""
    return next(
        r["state"] for e in document["endpoints"] for r in e["replicas"] if r["name"] == name
    )


@pytest.fixture(autouse=True)
def healthy(request: pytest.FixtureRequest, permafrost: Cli) -> None:
    """Every scenario begins on a site where every replica serves."""
    if "own_lab" in request.keywords:
        return
    wait_until(
        "the site is healthy before the scenario",
        lambda: permafrost.json("status")["healthy"],
        120,
        every_s=1,
    )


def endpoint(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return one endpoint out of a status document."""
    found: dict[str, Any] = next(e for e in document["endpoints"] if e["name"] == name)
    return found
