from __future__ import annotations

from pathlib import Path

import pytest

from permafrost.adapters.ansible.fingerprint import content_fingerprint, node_fingerprint
from permafrost.adapters.ansible.variables import Variables

BASE = Variables({"a": 1, "b": [2]}, {"password": "one"})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in ("playbooks/site.yml", "templates/x.j2", "permafrost/node/gate.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_the_same_content_gives_the_same_digest(source: Path) -> None:
    before = content_fingerprint(source)
    (source / "permafrost/node/__pycache__").mkdir()
    (source / "permafrost/node/__pycache__/gate.pyc").write_text("compiled")
    (source / "permafrost/elsewhere.py").write_text("not on a node")
    assert content_fingerprint(source) == before


@pytest.mark.parametrize(
    "name", ["playbooks/site.yml", "templates/x.j2", "permafrost/node/gate.py", "templates/new.j2"]
)
def test_each_changed_or_added_file_changes_the_digest(source: Path, name: str) -> None:
    before = content_fingerprint(source)
    (source / name).write_text("changed")
    assert content_fingerprint(source) != before


def test_a_renamed_file_changes_the_digest(source: Path) -> None:
    before = content_fingerprint(source)
    (source / "templates/x.j2").rename(source / "templates/y.j2")
    assert content_fingerprint(source) != before


@pytest.mark.parametrize(
    "other",
    [
        Variables({"a": 2, "b": [2]}, {"password": "one"}),
        Variables({"a": 1, "b": [2]}, {"password": "two"}),
        Variables({"a": 1, "b": [2], "c": 0}, {"password": "one"}),
        Variables({"a": 1, "b": [2]}, {}),
    ],
)
def test_each_changed_variable_changes_the_digest(other: Variables) -> None:
    assert node_fingerprint("content", other) != node_fingerprint("content", BASE)


def test_the_order_of_variables_does_not_matter() -> None:
    turned = Variables({"b": [2], "a": 1}, {"password": "one"})
    assert node_fingerprint("content", turned) == node_fingerprint("content", BASE)
