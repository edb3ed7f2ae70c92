"""Commands of a build: their output in the log, their failure with the log's end."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.build import command
from lab.build.problem import BuildError


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run commands as they are: namespaces need root."""
    monkeypatch.setattr(command, "contained", list)


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command.run(["sh", "-c", "echo $WHAT; echo err >&2"], log=log, env={"WHAT": "out"})
    assert log.read_text().splitlines()[-2:] == ["out", "err"]


def test_a_failure_tells_the_logs_end_of_this_command_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("an earlier command\n")
    with pytest.raises(BuildError) as caught:
        command.run(["sh", "-c", "echo reason; exit 3"], log=log)
    assert caught.value.code == "COMMAND_FAILED"
    assert "sh exited 3" in str(caught.value)
    assert "reason" in str(caught.value)
    assert "earlier" not in str(caught.value)


def test_a_missing_program_and_a_slow_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="COMMAND_MISSING"):
        command.run(["/no/such/program"], log=tmp_path / "log")
    with pytest.raises(BuildError, match="COMMAND_TIMEOUT"):
        command.run(["sleep", "5"], log=tmp_path / "log", timeout_s=0.05)


def test_what_a_command_printed(tmp_path: Path) -> None:
    assert command.output(["pwd"], cwd=tmp_path).strip() == str(tmp_path)
    with pytest.raises(BuildError, match="told why"):
        command.output(["sh", "-c", "echo told why >&2; exit 1"])
