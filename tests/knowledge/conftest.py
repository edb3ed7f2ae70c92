"""A deployed site with a knowledge tier: the one that is named, else one of its own."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.acceptance.driver import Cli
from tests.acceptance.ownsite import folder, lab, permafrost, site_like
from tests.knowledge.driver import Door
from tests.knowledge.filled import filled, users_of
from tests.knowledge.mending import mend

__all__ = ["folder", "lab", "permafrost"]


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether a scenario itself failed, for who puts things right after it."""
    report = yield
    if call.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture(autouse=True)
def left_whole(
    request: pytest.FixtureRequest, permafrost: Cli, lab: Cli, folder: Path
) -> Iterator[None]:
    """Have the site whole again after a scenario that failed half way."""
    file = folder / "site.yaml"
    before = file.read_bytes()
    yield
    if request.node.stash.get(FAILED, False) and request.node.path.name != "test_removed.py":
        mend(permafrost, lab, file, before)


@pytest.fixture(scope="session")
def site_env() -> Iterator[dict[str, str]]:
    """The environment of a deployed site; one that was made for this is removed."""
    with site_like("lab-knowledge.yaml", "m") as env:
        yield env


@pytest.fixture(scope="session")
def door(permafrost: Cli, folder: Path) -> Door:
    """Where an application reaches the tier."""
    address = permafrost.json("status")["knowledge"]["address"]
    return Door(address, folder / "state" / "pki" / "ca.pem")


@pytest.fixture(scope="session")
def users(folder: Path) -> dict[str, str]:
    """Users of the site file, and root, with their passwords."""
    return users_of(folder)


@pytest.fixture(scope="session")
def known(door: Door, users: dict[str, str]) -> np.ndarray:
    """The vectors that are in the collection, loaded into two replicas; made where missing."""
    return filled(door, users)
