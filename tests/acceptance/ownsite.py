"""A deployed site of its own for scenarios that need other hosts or tiers than the shared one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

from lab.testrun.ownlab import collect, owned
from tests.acceptance.driver import ROOT, Cli

PROGRAMS = ROOT / ".venv" / "bin"


def nothing_beside(folder: Path) -> AbstractContextManager[None]:
    """Run nothing beside a site."""
    return nullcontext()


@contextmanager
def site_like(
    template: str,
    letter: str,
    beside: Callable[[Path], AbstractContextManager[None]] = nothing_beside,
) -> Iterator[dict[str, str]]:
    """Yield the environment of a site: the one that is named, else a new one, removed afterwards.

    ``template``: a file of ``sites/``; ``letter``: what the id of a new lab begins with;
    ``beside``: what a new one needs before it is deployed, given its folder.
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
            site = ROOT / ".lab" / name / "site.yaml"
            env["PERMAFROST_SITE"] = str(site)
            with beside(site.parent):
                try:
                    run("permafrost", "deploy", "--yes", timeout=1800)
                except subprocess.CalledProcessError:
                    # The machines go, and with them why.
                    collect(name, ROOT / ".cache" / "testrun" / f"lab-{name}")
                    raise
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
