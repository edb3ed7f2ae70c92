"""Templates that are programs in Python: what lands on a node, imported as a module."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.golden.ansible.rendering import render


def load_program(folder: Path, template: str, node: str) -> ModuleType:
    """Render a node's program (``ROLE/NAME.py.j2``) into a folder, and import it from there."""
    name = Path(template).name.removesuffix(".py.j2").replace("-", "_")
    file = folder / f"{name}.py"
    file.write_text(render(template, node))
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, name, module)  # a dataclass looks up where it was made
        spec.loader.exec_module(module)
    return module


def knowledge_program(folder: Path, node: str) -> ModuleType:
    """Return ``permafrost-knowledge`` as a member of the knowledge tier has it."""
    return load_program(folder, "knowledge_state/permafrost-knowledge.py.j2", node)


def leaders_program(folder: Path, node: str) -> ModuleType:
    """Return ``permafrost-knowledge-leaders`` as a member of the knowledge tier has it."""
    return load_program(folder, "knowledge_leaders/permafrost-knowledge-leaders.py.j2", node)


def spread_program(folder: Path, node: str) -> ModuleType:
    """Return ``permafrost-knowledge-spread`` as a member of the knowledge tier has it."""
    return load_program(folder, "knowledge_leaders/permafrost-knowledge-spread.py.j2", node)
