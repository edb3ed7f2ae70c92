"""Code that runs before, or away from, the project's Python environment needs nothing of it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.build.model import CHECKOUT

STDLIB = set(sys.stdlib_module_names)
OWN = {"lab", "permafrost"}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def modules(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((CHECKOUT / folder).rglob("*.py"))]


@pytest.mark.parametrize(
    "path",
    [p for p in modules("lab/build", "lab/front", "permafrost/node") if p.name != "__init__.py"],
    ids=lambda p: str(p.relative_to(CHECKOUT)),
)
def test_standard_library_only(path: Path) -> None:
    foreign = {name for name in imported(path) if name.split(".")[0] not in STDLIB | OWN}
    assert foreign == set()


def test_the_node_service_knows_only_itself() -> None:
    for path in modules("permafrost/node"):
        own = {name for name in imported(path) if name.split(".")[0] in OWN}
        assert all(name.startswith("permafrost.node") for name in own), path
