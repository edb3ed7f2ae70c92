"""An instance whose folder and control groups lie in a temporary folder."""

from pathlib import Path

import pytest

from lab.instance import cgroups, naming
from lab.instance.model import Allocation, Instance, save


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the control group tree."""
    root = tmp_path / "cgroup"
    root.mkdir()
    monkeypatch.setattr(cgroups, "unified_root", lambda: root)
    monkeypatch.setattr(cgroups, "memory_root", lambda: None)
    return root


@pytest.fixture
def instance(tmp_path: Path, tree: Path) -> Instance:
    """A lab of its own."""
    root = tmp_path / "lab" / "abc123"
    made = Instance(root, Allocation.make("abc123", next(naming.subnet_candidates("abc123"))))
    save(made)
    return made
