"""The command line: exit statuses, errors in one form, help."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from permafrost.cli.main import run
from tests.fakes.site import document, write_site


@pytest.fixture
def site(tmp_path: Path) -> str:
    return str(write_site(tmp_path))


@pytest.fixture(autouse=True)
def _no_site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERMAFROST_SITE", raising=False)


def errors(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(capsys.readouterr().err)
    assert all(set(e) == {"code", "path", "message", "hint"} for e in found)
    return found


def test_validate(site: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "--site", site, "--output", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema"] == 1
    assert answer["nodes"][1] == {
        "name": "lab-chat-01",
        "tier": "inference",
        "endpoint": "chat",
        "address": "10.64.1.21",
    }


def test_an_invalid_site_exits_3_with_all_problems(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = document()
    values["inference"]["chat"].update(min_ready=3)
    values["network"].update(gateway="10.64.1.50")
    path = str(write_site(tmp_path, values))
    assert run(["validate", "--site", path, "--output=json"]) == 3
    assert [e["code"] for e in errors(capsys)] == ["MIN_READY_TOO_HIGH", "GATEWAY_IN_ADDRESSES"]
    assert run(["validate", "--site", path]) == 3
    assert "set min_ready to at most 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["validate"], "SITE_NOT_NAMED"),
        (["frobnicate"], "USAGE"),
        (["drain"], "USAGE"),
        (["status", "--output", "xml"], "USAGE"),
        (["ask", "chat", "hello", "--max-tokens", "0"], "USAGE"),
    ],
)
def test_usage_exits_2(
    arguments: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments, "--output", "json"] if "--output" not in arguments else arguments) == 2
    assert code in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["deploy"],
        ["destroy"],
        ["drain", "lab-chat-01"],
        ["undrain", "lab-chat-01"],
        ["converge", "lab-chat-01"],
    ],
)
def test_what_changes_the_site_asks_for_yes(
    command: list[str], site: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "--site", site, "--output", "json"]) == 2
    (error,) = errors(capsys)
    assert (error["code"], error["hint"]) == ("CONFIRMATION_NEEDED", "add --yes")
    assert not (Path(site).parent / "state").exists(), "nothing was begun"


def test_an_unknown_endpoint_lists_the_known(
    site: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ask", "nobody", "hi", "--site", site, "--output", "json"]) == 3
    (error,) = errors(capsys)
    assert (error["code"], error["hint"]) == ("ENDPOINT_UNKNOWN", "known are: chat, pulse")


def test_the_schema_is_for_editors(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["additionalProperties"] is False
    assert "schema" in schema["properties"], "keys as they stand in the file"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    for command in ("doctor", "env", "schema", "validate", "plan", "deploy", "status", "ask"):
        assert command in text
    for command in ("drain", "undrain", "converge", "destroy"):
        assert command in text
