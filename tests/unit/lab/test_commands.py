"""permafrost-lab's commands, without a lab."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lab.cli import main as command
from lab.cli.main import app, report, wants_json
from lab.cli.options import instance_of, site_file
from lab.errors import LabError
from lab.instance.commands import run
from lab.instance.model import Instance

RUNNER = CliRunner()


def test_errors_are_json_where_json_was_asked_for() -> None:
    error = LabError("CODE", "what", "do this", "node")
    assert json.loads(report(error, as_json=True)) == [
        {"code": "CODE", "message": "what", "path": "node", "hint": "do this"}
    ]
    assert "do this" in report(error, as_json=False)
    assert wants_json(["status", "--output", "json"])
    assert wants_json(["status", "--output=json"])
    assert not wants_json(["json", "--output", "text"])


def test_a_failure_exits_4_and_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERMAFROST_LAB", "absent0")
    monkeypatch.setattr("sys.argv", ["permafrost-lab", "status", "--output", "json"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 4
    assert json.loads(capsys.readouterr().err)[0]["code"] == "LAB_ABSENT"


def test_an_unknown_option_exits_2() -> None:
    assert RUNNER.invoke(app, ["up", "--nonsense"]).exit_code == 2


def test_fault_kinds_are_listed() -> None:
    document = json.loads(RUNNER.invoke(app, ["fault", "list", "--output", "json"]).stdout)
    assert document["schema"] == 1
    assert {"host-lost", "machine-cut"} <= {k["kind"] for k in document["kinds"]}


@pytest.mark.parametrize(("cut", "status"), [(0, 0), (2, 4)])
def test_a_strict_check_fails_on_losses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cut: int, status: int
) -> None:
    summary: dict[str, Any] = {"outcomes": {"ok": 10, "cut": cut}}
    monkeypatch.setattr("lab.traffic.cli.summary", lambda file, at: summary)
    arguments = ["check", str(tmp_path / "x.jsonl")]
    assert RUNNER.invoke(app, [*arguments, "--strict"]).exit_code == status
    assert RUNNER.invoke(app, arguments).exit_code == 0


def test_a_tool_that_is_missing_or_fails_is_named() -> None:
    with pytest.raises(LabError, match="no-such-tool"):
        run(["no-such-tool"])
    with pytest.raises(LabError, match="because"):
        run(["sh", "-c", "echo because >&2; exit 7"])
    with pytest.raises(LabError, match="LAB_COMMAND_TIMEOUT"):
        run(["sleep", "5"], timeout_s=0.05)


def test_a_site_file_names_its_lab(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert instance_of(instance.site_file) == instance
    monkeypatch.setattr("lab.cli.options.default_root", lambda: instance.root)
    assert instance_of(None) == instance
    assert instance_of(tmp_path / "copy.yaml") == instance, "a copy elsewhere names no lab"
    with pytest.raises(LabError, match="SITE_ABSENT"):
        site_file(tmp_path / "copy.yaml")
