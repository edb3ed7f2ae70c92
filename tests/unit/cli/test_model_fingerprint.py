"""`permafrost model fingerprint …` as a person types it."""

from __future__ import annotations

import json

import pytest

from permafrost.cli.main import run


@pytest.mark.parametrize("verb", ["record", "rebaseline"])
def test_what_is_kept_is_confirmed_first(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model", "fingerprint", verb, "lab-chat-01", "--output", "json"]
    assert run(words) == 2
    (problem,) = json.loads(capsys.readouterr().err)
    assert problem["code"] == "CONFIRMATION_NEEDED"


def test_a_comparison_changes_nothing_and_asks_nobody(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PERMAFROST_SITE", raising=False)
    assert run(["model", "fingerprint", "compare", "lab-chat-01", "--output", "json"]) == 2
    (problem,) = json.loads(capsys.readouterr().err)
    assert problem["code"] == "SITE_NOT_NAMED"
