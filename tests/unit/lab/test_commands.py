"""permafrost-lab's commands, without a lab."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab.cli import main as command
from lab.cli.main import app, report, wants_json
from lab.cli.options import instance_of, site_file
from lab.errors import LabError
from lab.instance.commands import run
from lab.instance.model import Instance
from lab.traffic.record import Kind, Outcome, Record, to_line

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


@pytest.mark.parametrize(
    ("kind", "outcome", "status"),
    [
        (Kind.WHOLE, Outcome.OK, 0),
        (Kind.STREAM, Outcome.CUT, 4),
        (Kind.WHOLE, Outcome.REFUSED, 4),
        (Kind.CHANNEL, Outcome.CUT, 4),
    ],
)
def test_a_strict_check_fails_on_losses(
    instance: Instance, tmp_path: Path, kind: Kind, outcome: Outcome, status: int
) -> None:
    record = Record("r", kind, 1.0, None, 2.0, 200, "", "", (), (), outcome)
    file = tmp_path / "history.jsonl"
    file.write_text(to_line(record) + "\n")
    arguments = ["check", str(file), "--site", str(instance.site_file)]
    assert RUNNER.invoke(app, [*arguments, "--strict"]).exit_code == status
    assert RUNNER.invoke(app, arguments).exit_code == 0
    answer = RUNNER.invoke(app, [*arguments, "--output", "json"])
    assert json.loads(answer.stdout)["marks"] == []


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
