"""Kinds of bad site file: each with its code and its place, and nothing else said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from permafrost.cli.main import run
from tests.fakes.memory import tmp_path
from tests.fakes.refusing import refusal, tree
from tests.fakes.site import document, write_site
from tests.unit.site.bad_rules import RULES
from tests.unit.site.bad_values import FORM, MISSING, UNKNOWN
from tests.unit.site.edits import Edit

__all__ = ["tmp_path"]

CASES = [*FORM, *RULES]


def test_there_are_sixty_kinds() -> None:
    assert len({(code, path) for _, code, path in CASES}) >= 60


@pytest.mark.parametrize(("edit", "code", "path"), CASES, ids=[f"{c}-{p}" for _, c, p in CASES])
def test_a_kind_of_bad_file(tmp_path: Path, edit: Edit, code: str, path: str) -> None:
    values = document()
    edit(values)
    found = refusal(write_site(tmp_path, values))
    assert [(p.code, p.path) for p in found] == [(code, path)]
    assert found[0].hint, "what to do"


def test_the_file_before_it_was_spoilt_is_good(tmp_path: Path) -> None:
    assert refusal(write_site(tmp_path)) == ()


@pytest.mark.parametrize("command", ["validate", "plan", "deploy --yes", "destroy --yes", "env"])
def test_no_command_touches_anything(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values = document()
    values["colour"] = "blue"
    del values["vcenter"]["cluster"]
    path = write_site(tmp_path, values)
    before = tree(tmp_path)
    assert run([*command.split(), "--site", str(path), "--output", "json"]) == 3
    seen = capsys.readouterr()
    assert seen.out == ""
    assert [(e["code"], e["path"]) for e in json.loads(seen.err)] == [
        (MISSING, "vcenter.cluster"),
        (UNKNOWN, "colour"),
    ]
    assert tree(tmp_path) == before
