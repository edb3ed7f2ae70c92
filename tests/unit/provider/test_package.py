"""The plugin's archive, and when it is installed."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from lab.provider import package


def test_the_archive_holds_one_program_and_is_always_the_same(tmp_path: Path) -> None:
    path = package.build(tmp_path / "a")
    with tarfile.open(path) as archive:
        (member,) = archive.getmembers()
        assert (member.name, member.mode) == ("pulumi-resource-vsphere", 0o755)
    assert path.read_bytes() == package.build(tmp_path / "b").read_bytes()


def test_it_is_installed_once_and_again_when_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    def run(argv: list[str], **_: object) -> None:
        calls.append(argv)
        program = package.installed(tmp_path)
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(package.script())

    monkeypatch.setattr(subprocess, "run", run)
    package.install(Path("pulumi"), tmp_path)
    package.install(Path("pulumi"), tmp_path)
    assert len(calls) == 1
    assert calls[0][1:6] == ["plugin", "install", "resource", "vsphere", "4.18.2"]
    package.installed(tmp_path).write_text("of another checkout")
    package.install(Path("pulumi"), tmp_path)
    assert len(calls) == 2
