"""What a command that changes the site shows and asks before it does anything."""

from __future__ import annotations

import json

import pytest

from permafrost.cli import changing
from permafrost.cli.options import Output
from permafrost.errors import Refused, UsageError

PLAN = {"schema": 1, "steps": ["stop it"]}


def agree(asked: changing.Asked, *, is_empty: bool = False) -> bool:
    return asked.agree(lambda: print("stop it"), lambda: PLAN, "Do it?", is_empty=is_empty)


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked; the answer is no."""
    asked: list[str] = []

    def answer(question: str, **_: bool) -> bool:
        asked.append(question)
        return False

    monkeypatch.setattr("typer.confirm", answer)
    return asked


@pytest.mark.parametrize("output", Output)
def test_where_only_the_plan_is_asked_for_nothing_is_done(
    output: Output, questions: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = changing.Asked(None, yes=True, plan_only=True, output=output)
    asked.require_answer()
    assert not agree(asked)
    shown = capsys.readouterr().out
    assert (json.loads(shown) == PLAN) if output is Output.JSON else (shown == "stop it\n")
    assert questions == []


@pytest.mark.parametrize("output", Output)
def test_an_operator_who_says_no_is_not_overruled(output: Output, questions: list[str]) -> None:
    with pytest.raises(Refused, match="NOT_CONFIRMED"):
        agree(changing.Asked(None, yes=False, plan_only=False, output=output))
    assert questions == ["Do it?"]


def test_nobody_is_asked_about_nothing_or_after_a_yes(questions: list[str]) -> None:
    assert agree(changing.Asked(None, yes=True, plan_only=False, output=Output.TEXT))
    nothing = changing.Asked(None, yes=False, plan_only=False, output=Output.TEXT)
    assert agree(nothing, is_empty=True)
    assert questions == []


def test_a_program_gets_one_document_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """Its result, once it is there: so no plan before it."""
    assert agree(changing.Asked(None, yes=True, plan_only=False, output=Output.JSON))
    assert capsys.readouterr().out == ""


def test_without_a_terminal_the_answer_must_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(UsageError, match="CONFIRMATION_NEEDED"):
        changing.Asked(None, yes=False, plan_only=False, output=Output.TEXT).require_answer()
