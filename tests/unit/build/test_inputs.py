"""A part's key changes with everything that it is made from, and with nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lab.build.inputs import input_files, load_versions, part_key
from lab.build.problem import BuildError


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "main.go").write_text("package main")
    (tmp_path / "code" / "run.sh").write_text("true")
    (tmp_path / "other.txt").write_text("other")
    return tmp_path


def key(
    checkout: Path,
    *,
    name: str = "part",
    sections: Mapping[str, Any] | None = None,
    needs: Mapping[str, str] | None = None,
    facts: Mapping[str, str] | None = None,
) -> str:
    return part_key(
        checkout,
        name=name,
        files=("code",),
        sections=sections or {},
        needs=needs or {},
        facts=facts or {},
    )


def test_the_same_inputs_give_the_same_key(checkout: Path) -> None:
    before = key(checkout)
    (checkout / "other.txt").write_text("changed")
    (checkout / "code" / "__pycache__").mkdir()
    (checkout / "code" / "__pycache__" / "x.pyc").write_bytes(b"1")
    assert key(checkout) == before


def test_each_input_changes_the_key(checkout: Path) -> None:
    keys = [
        key(checkout),
        key(checkout, name="another"),
        key(checkout, sections={"go": {"minimum": "1.26"}}),
        key(checkout, needs={"go": "abc"}),
        key(checkout, facts={"go": "1.26.8"}),
    ]
    (checkout / "code" / "run.sh").chmod(0o755)
    keys.append(key(checkout))
    (checkout / "code" / "main.go").write_text("package other")
    keys.append(key(checkout))
    (checkout / "code" / "main.go").rename(checkout / "code" / "other.go")
    keys.append(key(checkout))
    assert len(set(keys)) == len(keys)


def test_a_missing_input_is_said(checkout: Path) -> None:
    with pytest.raises(BuildError, match="INPUT_MISSING"):
        list(input_files(checkout, ["nowhere"]))


def test_an_unreadable_versions_file_is_said(tmp_path: Path) -> None:
    bad = tmp_path / "versions.toml"
    bad.write_text("[go")
    with pytest.raises(BuildError, match="VERSIONS_UNREADABLE"):
        load_versions(bad)
