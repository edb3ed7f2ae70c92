"""Packing the plugin, and installing it where Pulumi looks for plugins."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

from lab.provider.server import VERSION

CHECKOUT = Path(__file__).resolve().parents[2]
NAME = "pulumi-resource-vsphere"
INSTALL_TIMEOUT_S = 120

SCRIPT = """#!/bin/sh
# The lab's stand-in for the vSphere provider plugin; production uses the real one. Its process bears
# the plugin's name: by that whoever cleans up after a killed engine knows the real one.
PYTHONPATH="{checkout}${{PYTHONPATH:+:$PYTHONPATH}}" exec "{checkout}/.venv/bin/python" -m lab.provider "$0" "$@"
"""  # noqa: E501 - one line of shell


def script() -> str:
    """Return the program that Pulumi starts: it runs this checkout's own code."""
    return SCRIPT.format(checkout=CHECKOUT)


def build(out: Path) -> Path:
    """Write the plugin's archive into the folder `out`; the same code makes the same bytes."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{NAME}-v{VERSION}-linux-amd64.tar.gz"
    content = script().encode()
    member = tarfile.TarInfo(NAME)
    member.mode, member.size = 0o755, len(content)
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        archive.addfile(member, io.BytesIO(content))
    path.write_bytes(gzip.compress(raw.getvalue(), mtime=0))
    return path


def installed(pulumi_home: Path) -> Path:
    """Return where the installed plugin's program stands."""
    return pulumi_home / "plugins" / f"resource-vsphere-v{VERSION}" / NAME


def install(pulumi: Path, pulumi_home: Path) -> None:
    """Install the plugin into a Pulumi home, unless this very one is there already."""
    program = installed(pulumi_home)
    if program.is_file() and program.read_text() == script():
        return
    pulumi_home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        archive = build(Path(folder))
        subprocess.run(
            [str(pulumi), "plugin", "install", "resource", "vsphere", VERSION,
             "--file", str(archive), "--reinstall"],
            check=True,
            capture_output=True,
            timeout=INSTALL_TIMEOUT_S,
            env={**os.environ, "PULUMI_HOME": str(pulumi_home),
                 "PULUMI_SKIP_UPDATE_CHECK": "true"},
        )  # fmt: skip
