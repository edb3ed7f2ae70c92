"""The Go toolchain: the one on PATH when it is new enough, else Go's own toolchain module."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.build.model import Build, Part
from lab.build.problem import BuildError

_VERSION = re.compile(r"go(\d+)\.(\d+)(?:\.(\d+))?")


def parse_version(text: str) -> tuple[int, ...]:
    """Return the version that ``go version`` prints, or () when there is none."""
    found = _VERSION.search(text)
    return tuple(int(n or 0) for n in found.groups()) if found else ()


def go_on_path(minimum: str) -> tuple[str, str] | None:
    """Return (path, version line) of the Go on PATH when it is at least ``minimum``."""
    go = shutil.which("go")
    if go is None:
        return None
    try:
        done = subprocess.run(
            [go, "env", "GOVERSION"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd="/",
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    wanted = tuple(int(n) for n in minimum.split("."))
    if done.returncode == 0 and parse_version(done.stdout)[: len(wanted)] >= wanted:
        return go, done.stdout.strip()
    return None


def _facts(versions: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    found = go_on_path(versions["go"]["minimum"])
    return {"go": " ".join(found) if found else "module"}


def _build(build: Build) -> None:
    section = build.versions["go"]
    (build.out / "bin").mkdir()
    found = go_on_path(section["minimum"])
    if found:
        (build.out / "bin" / "go").symlink_to(Path(found[0]).resolve())
        return
    bootstrap = shutil.which("go")
    if bootstrap is None:
        raise BuildError("GO_MISSING", "no Go is installed", "run scripts/bootstrap.sh")
    # The sum is checked here against the versions file, so no checksum service is asked.
    env = {"GOFLAGS": "-mod=mod", "GONOSUMDB": "*", "GONOSUMCHECK": "1", "GOTOOLCHAIN": "local"}
    module = f"golang.org/toolchain@{section['toolchain']}"
    text = build.output(
        [bootstrap, "mod", "download", "-json", module], env=env, cwd=build.out, timeout_s=900
    )
    answer = json.loads(text)
    if answer.get("Error") or answer.get("Sum") != section["toolchain_sum"]:
        raise BuildError(
            "GO_TOOLCHAIN_MISMATCH",
            f"{module}: {answer.get('Error') or answer.get('Sum')}",
            "the versions file says which sum it must have",
        )
    root = build.out / "root"
    shutil.copytree(answer["Dir"], root)
    # Module archives carry no executable bits, and the copy is read-only like its source.
    for path in [root, *root.rglob("*")]:
        in_tools = path.parent == root / "bin" or (root / "pkg" / "tool") in path.parents
        path.chmod(0o755 if path.is_dir() or in_tools else 0o644)
    (build.out / "bin" / "go").symlink_to("../root/bin/go")
    (build.out / "bin" / "gofmt").symlink_to("../root/bin/gofmt")
    build.run([str(build.out / "bin" / "go"), "version"])


def go_command(folder: Path) -> str:
    """Return the ``go`` command of a built go part."""
    return str(folder / "bin" / "go")


def build_env() -> dict[str, str]:
    """Return the environment of every Go build: no C compiler, no other toolchain."""
    return {
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly",
        "GOWORK": "off",
    }


PART = Part(
    name="go",
    summary="Go toolchain",
    build=_build,
    inputs=("lab/build/golang.py",),
    sections=("go",),
    needs_gib=1.0,
    facts=_facts,
)
