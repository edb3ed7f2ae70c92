"""`oras` of the pinned version, built from its Go module and kept in the build cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def oras_command() -> Path:
    """Return the program, built where it is not yet."""
    version = tomllib.loads((ROOT / "versions.toml").read_text())["oras"]["version"]
    cache = Path(os.environ.get("PERMAFROST_CACHE", "/var/cache/permafrost"))
    folder = cache / f"oras-{version}"
    if not (folder / "oras").exists():
        fresh = cache / f".oras-{version}-{os.getpid()}"
        subprocess.run(
            ["go", "install", f"oras.land/oras/cmd/oras@{version}"],
            check=True, timeout=900, env={**os.environ, "GOBIN": str(fresh)},
        )  # fmt: skip
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    return folder / "oras"
