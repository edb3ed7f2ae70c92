"""A deployed site of six hosts in three racks: the one that is named, else one of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.driver import Cli, VCenter, machine, vcenter, wait_until
from tests.acceptance.ownsite import folder, lab, permafrost, site_like

__all__ = ["folder", "lab", "permafrost"]


@pytest.fixture(scope="session")
def site_env() -> Iterator[dict[str, str]]:
    """The environment of a deployed site; one that was made for this is removed."""
    with site_like("lab-racks.yaml", "k") as env:
        yield env


@pytest.fixture
def vsphere(lab: Cli) -> Iterator[VCenter]:
    """The lab's vCenter through pyvmomi."""
    with vcenter(lab.json("status")) as session:
        yield session


@pytest.fixture
def status(permafrost: Cli) -> Callable[[], dict[str, Any]]:
    """Return a function that asks for the site's status."""
    return lambda: permafrost.json("status")


@pytest.fixture
def on(lab: Cli, folder: Path) -> Callable[[str], Any]:
    """Return a function from a machine's name to its inside."""
    return partial(machine, lab, folder / "state")


@pytest.fixture
def placement(folder: Path, status: Callable[[], dict[str, Any]]) -> dict[str, str]:
    """Where each replica and edge stands: name to host."""
    document = status()
    nodes = [r for e in document["endpoints"] for r in e["replicas"]] + document["edges"]
    return {str(n["name"]): str(n["host"]) for n in nodes}


@pytest.fixture(autouse=True)
def healthy(permafrost: Cli) -> None:
    """Every scenario begins on a site where every replica serves."""
    wait_until(
        "the site is healthy before the scenario",
        lambda: permafrost.json("status")["healthy"],
        120,
        every_s=1,
    )
