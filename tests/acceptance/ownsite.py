"""A deployed site of its own for scenarios that need other hosts or tiers than the shared one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.testrun.ownlab import owned
from tests.acceptance.driver import ROOT, Cli

PROGRAMS = ROOT / ".venv" / "bin"


@contextmanager
def site_like(template: str, letter: str) -> Iterator[dict[str, str]]:
    """Yield the environment of a site: the one that is named, else a new one, removed afterwards.

    ``template``: a file of ``sites/``; ``letter``: what the id of a new lab begins with.
    """
    if "PERMAFROST_SITE" in os.environ:
        yield dict(os.environ)
        return
    name = f"{letter}{os.getpid() % 0xFFFF:04x}"
    env = {**os.environ, "PERMAFROST_LAB": name}

    def run(*argv: str, timeout: float) -> None:
        program = str(PROGRAMS / argv[0])
        subprocess.run([program, *argv[1:]], cwd=ROOT, env=env, check=True, timeout=timeout)

    with owned(name):
        try:
            run("permafrost-lab", "up", "--like", str(ROOT / "sites" / template), timeout=1800)
            env["PERMAFROST_SITE"] = str(ROOT / ".lab" / name / "site.yaml")
            run("permafrost", "deploy", "--yes", timeout=1800)
            yield env
        finally:
            run("permafrost-lab", "down", timeout=300)


@pytest.fixture(scope="session")
def permafrost(site_env: dict[str, str]) -> Cli:
    """``permafrost`` for that site."""
    return Cli(PROGRAMS / "permafrost", site_env)


@pytest.fixture(scope="session")
def lab(site_env: dict[str, str]) -> Cli:
    """``permafrost-lab`` for that site."""
    return Cli(PROGRAMS / "permafrost-lab", site_env)


@pytest.fixture(scope="session")
def folder(site_env: dict[str, str]) -> Path:
    """The folder of the site file."""
    return Path(site_env["PERMAFROST_SITE"]).parent
