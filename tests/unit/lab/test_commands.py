"""permafrost-lab's commands, without a lab."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab.cli import main as command
from lab.cli.main import app
from lab.cli.options import instance_of, site_file
from lab.errors import LabError
from lab.instance.commands import run
from lab.instance.model import Instance
from lab.traffic.record import Kind, Outcome, Record, to_line
from permafrost.cli.running import run as running

RUNNER = CliRunner()


def test_a_failure_exits_4_and_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERMAFROST_LAB", "absent0")
    monkeypatch.setattr("sys.argv", ["permafrost-lab", "status", "--output", "json"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 4
    assert json.loads(capsys.readouterr().err)[0]["code"] == "LAB_ABSENT"


@pytest.mark.parametrize(
    "arguments", [["up", "--nonsense"], ["nonsense"], ["fault", "apply"], ["traffic", "--rate=x"]]
)
def test_a_wrong_command_line_exits_2_in_the_form_that_was_asked_for(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert running(app, "permafrost-lab", [*arguments, "--output", "json"]) == 2
    (problem,) = json.loads(capsys.readouterr().err)
    assert problem["code"] == "USAGE"
    assert running(app, "permafrost-lab", arguments) == 2
    assert capsys.readouterr().err.startswith("USAGE")


def test_a_file_that_cannot_be_written_is_one_clear_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing = tmp_path / "no" / "such" / "history.jsonl"
    assert running(app, "permafrost-lab", ["check", str(missing), "--output", "json"]) == 4
    (problem,) = json.loads(capsys.readouterr().err)
    assert str(missing) in problem["path"] + problem["message"]


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
