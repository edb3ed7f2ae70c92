"""The Pulumi engine: an official one of the pinned version on PATH, else built from Go modules."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.build import golang
from lab.build.model import Build, Part

_VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
_SDK = "github.com/pulumi/pulumi/sdk/v3"
_SCRIPTS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
_PROGRAMS = (
    "pulumi",
    "pulumi-language-python",
    "pulumi-language-python-exec",
    "pulumi-resource-pulumi-python",
)


def official_on_path(version: str) -> Path | None:
    """Return the folder of an official Pulumi of exactly ``version``, complete for Python."""
    pulumi = shutil.which("pulumi")
    if pulumi is None:
        return None
    folder = Path(pulumi).resolve().parent
    if not all((folder / program).is_file() for program in _PROGRAMS):
        return None
    if (folder.parent / "provenance.json").exists():
        return None  # one that this module built
    try:
        done = subprocess.run(
            [pulumi, "version"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"PULUMI_SKIP_UPDATE_CHECK": "true", "HOME": "/nonexistent"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return folder if done.stdout.strip() == f"v{version}" else None


def _facts(versions: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    found = official_on_path(versions["pulumi"]["version"])
    return {"official": str(found) if found else ""}


def _build(build: Build) -> None:
    version = build.versions["pulumi"]["version"]
    bin_folder = build.out / "bin"
    bin_folder.mkdir()
    official = official_on_path(version)
    if official:
        for program in _PROGRAMS:
            (bin_folder / program).symlink_to(official / program)
    else:
        _from_modules(build, bin_folder, version)
    provenance = {
        "schema": 1,
        "version": version,
        "source": "official" if official else "go-modules",
        "language_host": "official" if official else "stand-in",
    }
    (build.out / "provenance.json").write_text(json.dumps(provenance) + "\n", encoding="utf-8")


def _from_modules(build: Build, bin_folder: Path, version: str) -> None:
    go = golang.go_command(build.needs["go"])
    module = build.checkout / "engines" / "pulumi"
    env = golang.build_env()
    flags = [
        "-trimpath",
        "-buildvcs=false",
        "-ldflags",
        f"-s -w -X {_VERSION_VARIABLE}=v{version}",
    ]
    commands = {
        "pulumi": "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
        "pulumi-language-python": "./cmd/pulumi-language-python",
    }
    for program, package in commands.items():
        build.run(
            [go, "build", *flags, "-o", str(bin_folder / program), package],
            cwd=module,
            env=env,
            timeout_s=3000,
        )
    listed = build.output([go, "list", "-m", "-f", "{{.Dir}}", _SDK], cwd=module, env=env)
    sdk = Path(listed.strip())
    for script in _SCRIPTS:
        target = bin_folder / Path(script).name
        shutil.copyfile(sdk / script, target)
        target.chmod(0o755)
    build.run([str(bin_folder / "pulumi"), "version"], env={"PULUMI_SKIP_UPDATE_CHECK": "true"})


PART = Part(
    name="pulumi",
    summary="Pulumi engine and Python language host",
    build=_build,
    inputs=("engines/pulumi", "lab/build/pulumi.py"),
    sections=("pulumi",),
    needs=("go",),
    needs_gib=5.0,
    facts=_facts,
)
