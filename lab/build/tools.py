"""Where the tools lie that the bootstrap installs beside the project."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.build.model import CHECKOUT
from lab.build.problem import BuildError


def uv_command() -> str:
    """Return the pinned uv that the bootstrap installed, else the one on PATH."""
    pinned = CHECKOUT / ".cache" / "bootstrap" / "bin" / "uv"
    if pinned.exists():
        return str(pinned)
    found = shutil.which("uv")
    if found is None:
        raise BuildError("UV_MISSING", "uv is not installed", "run scripts/bootstrap.sh")
    return found


def project_python() -> Path:
    """Return the project's own Python."""
    python = CHECKOUT / ".venv" / "bin" / "python"
    if not python.exists():
        raise BuildError("PYTHON_MISSING", f"{python} is missing", "run scripts/bootstrap.sh")
    return python
