"""What is read off the machine: apt's mirror and the Go on PATH."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.build.debian import parse_mirror
from lab.build.golang import go_on_path, parse_version

MIRROR = "http://mirror.example/debian/"
ROWS = (
    "Packages|http://vendor.example/apt/|main|cloud-bookworm|Vendor",
    "Translations|http://wrong.example/|main|bookworm|Debian",
    "Packages|http://security.example/|main|bookworm-security|Debian-Security",
    "Packages|http://mirror.example/debian|contrib|bookworm|Debian",
    "Packages|http://mirror.example/debian|main|bookworm|Debian",
)


def test_the_mirror_is_where_this_releases_main_part_lies() -> None:
    assert parse_mirror("\n".join(ROWS), "bookworm") == MIRROR


def test_without_lists_the_label_is_unknown_and_the_release_decides() -> None:
    rows = [row.rsplit("|", 1)[0] + "|" for row in ROWS]
    assert parse_mirror("\n".join(rows), "bookworm") == MIRROR


def test_another_vendors_archive_of_the_same_release_is_not_debian() -> None:
    rows = ["Packages|http://vendor.example/|main|bookworm|Vendor"]
    assert parse_mirror("\n".join(rows), "bookworm") is None
    assert parse_mirror("", "bookworm") is None


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go1.27rc1", (1, 27, 0)),
        ("go1.19", (1, 19, 0)),
        ("devel", ()),
    ],
)
def test_versions_of_go(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize(
    ("version", "wanted"), [("go1.26.0", True), ("go1.30.1", True), ("go1.19.8", False)]
)
def test_go_on_path_counts_when_new_enough(
    version: str, wanted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    go.write_text(f"#!/bin/sh\necho {version}\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert (go_on_path("1.26") == (str(go), version)) is wanted


def test_no_go_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert go_on_path("1.26") is None
