"""Every refusal and failure says what to do: none is built without a hint, anywhere in the source.

A hint that is a name or a call is taken for one: only what an expression says itself is looked at.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from permafrost.adapters.pulumi_stack.environment import CHECKOUT

PLACE_OF_HINT = {
    "Problem": 3,
    "RegistryError": 2,
    "RegistryRefused": 2,
    "LabError": 2,
    "LabRefused": 2,
    "BuildError": 2,
    "NodeError": 2,
}
"""The constructors of what a person is shown, and which of their arguments is the hint."""
FOLDERS = ("permafrost", "infra", "policy", "model_registry", "lab", "tests/fakes")


def without_hint(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and code of each error that is built without a hint, or may be."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = node.func.id if isinstance(node.func, ast.Name) else name
        if name in PLACE_OF_HINT and not _is_told(node, PLACE_OF_HINT[name]):
            code = node.args[0] if node.args else next((k.value for k in node.keywords), node)
            yield node.lineno, ast.unparse(code)


def _is_told(call: ast.Call, place: int) -> bool:
    named = [k.value for k in call.keywords if k.arg == "hint"]
    hint = (*call.args[place : place + 1], *named)
    return bool(hint) and not any(
        isinstance(part, ast.Constant) and part.value in ("", None)
        for part in (hint[0], *_choices(hint[0]))
    )


def _choices(hint: ast.expr) -> Iterator[ast.expr]:
    """Yield what an expression may come to, where it says so itself."""
    match hint:
        case ast.IfExp(body=body, orelse=orelse):
            yield from (body, orelse)
        case ast.BoolOp(op=ast.Or(), values=[*_, last]):
            yield last
        case ast.Call(func=ast.Attribute(attr="get"), args=[_, default]):
            yield default


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_error_is_without_a_hint(folder: str) -> None:
    files = sorted((CHECKOUT / folder).rglob("*.py"))
    assert files
    found = [
        f"{path.relative_to(CHECKOUT)}:{line} {code}"
        for path in files
        for line, code in without_hint(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        'Problem("A", "it is so")',
        'errors.Problem("A", "it is so", "a.b")',
        'Problem("A", "it is so", hint="")',
        'Problem("A", "it is so", "a.b", "" if x else "do it")',
        'Problem("A", "it is so", "a.b", error.get("hint", ""))',
        'LabError("A", "it is so")',
        'RegistryRefused("A", "it is so", hint=told or "")',
    ],
)
def test_one_without_is_found(source: str) -> None:
    assert list(without_hint(source)) == [(1, "'A'")]


@pytest.mark.parametrize(
    "source",
    [
        'Problem("A", "it is so", "a.b", "do it")',
        'Problem("A", "it is so", hint=HINT)',
        'RegistryError("A", "it is so", f"do {it}")',
        'Problem("A", "it is so", "a.b", told or "do it")',
        'Other("A")',
    ],
)
def test_one_with_a_hint_is_not(source: str) -> None:
    assert list(without_hint(source)) == []


def test_the_folders_are_all_that_build_errors() -> None:
    """A new folder of the product is looked at too."""
    kept = {*FOLDERS, "playbooks", "tests", "scripts", "docs", "sites", "templates", "engines"}
    mine = {p.name for p in Path(CHECKOUT).iterdir() if p.is_dir() and not p.name.startswith(".")}
    with_python = {name for name in mine if any((CHECKOUT / name).rglob("*.py"))}
    assert with_python <= kept
