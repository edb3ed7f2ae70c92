"""A deployed site for what takes long: the one that is named, else one of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab.testrun.ownlab import owned
from tests.acceptance.driver import ROOT, Cli, machine


@pytest.fixture(scope="session")
def site_env() -> Iterator[dict[str, str]]:
    """The environment of a deployed site; one that was made for this is removed."""
    if "PERMAFROST_SITE" in os.environ:
        yield dict(os.environ)
        return
    name = f"s{os.getpid() % 0xFFFF:04x}"
    env = {**os.environ, "PERMAFROST_LAB": name}
    env["PERMAFROST_SITE"] = str(ROOT / ".lab" / name / "site.yaml")
    with owned(name):
        try:
            subprocess.run(["make", "up"], cwd=ROOT, env=env, check=True, timeout=1200)
            yield env
        finally:
            subprocess.run(["make", "down"], cwd=ROOT, env=env, check=True, timeout=300)


@pytest.fixture
def permafrost(site_env: dict[str, str]) -> Cli:
    """``permafrost`` for that site."""
    return Cli(ROOT / ".venv/bin/permafrost", site_env)


@pytest.fixture
def lab(site_env: dict[str, str]) -> Cli:
    """``permafrost-lab`` for that site."""
    return Cli(Path(ROOT / ".venv/bin/permafrost-lab"), site_env)


@pytest.fixture
def on(lab: Cli, site_env: dict[str, str]) -> Callable[[str], Any]:
    """Return a function from a machine's name to its inside."""
    return partial(machine, lab, Path(site_env["PERMAFROST_SITE"]).parent / "state")
