"""The Python interface as the runbook shows it, and that nothing public is without a word."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import model_registry
from tests.unit.model_registry.models import folder

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = Path(model_registry.__file__).parent


def test_the_example_of_the_runbook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "runbook" / "model.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "base", b"base weights")
    folder(tmp_path / "tuned", b"tuned")
    exec(compile(example, "model.md", "exec"), {})
    assert re.fullmatch(r"\d+ bytes read\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    "module", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_everything_public_has_a_docstring(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    silent = [] if ast.get_docstring(tree) else ["the module"]
    kinds = (ast.FunctionDef, ast.ClassDef)
    for outer in (tree, *(n for n in tree.body if isinstance(n, ast.ClassDef))):
        if isinstance(outer, ast.ClassDef) and outer.name.startswith("_"):
            continue
        silent += [
            node.name
            for node in outer.body
            if isinstance(node, kinds)
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
        ]
    assert silent == []
