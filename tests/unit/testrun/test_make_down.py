"""``make down`` also works where the Python environment does not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("works", ["nothing", "python only"])
def test_down_cleans_up_without_an_environment_that_works(tmp_path: Path, works: str) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    programs = tmp_path / ".venv/bin"
    programs.mkdir(parents=True)
    for name in ("python", "permafrost-lab"):
        status = 0 if works == "python only" and name == "python" else 1
        (programs / name).write_text(f"#!/bin/sh\nexit {status}\n")
        (programs / name).chmod(0o755)
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/cleanup.py").write_text("print('cleaned')\n")
    done = subprocess.run(
        ["make", "down"], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "cleaned" in done.stdout
