"""`drain` and `undrain` of a member of the knowledge tier, by the command line on fakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from permafrost.cli.main import run
from permafrost.errors import ExitStatus
from permafrost.runbook.knowledge import read_knowledge
from tests.fakes.site import context
from tests.fakes.world import World
from tests.unit.runbook.test_members import site_with_knowledge

MEMBER = "lab-knowledge-01"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world that the commands open."""
    world = World.of(site_with_knowledge())
    for module in ("changing", "replicas"):
        monkeypatch.setattr(
            f"permafrost.cli.{module}.open_site", lambda _: context(tmp_path / "state", world)
        )
    return world


def test_it_goes_and_comes_back(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["drain", MEMBER, "--plan-only"]) == ExitStatus.DONE
    assert MEMBER not in world.handed_over
    assert run(["drain", MEMBER, "--reason", "a disk", "--yes"]) == ExitStatus.DONE
    assert MEMBER in world.handed_over
    assert "is DRAINED" in capsys.readouterr().out
    assert run(["undrain", MEMBER, "--yes", "--output", "json"]) == ExitStatus.DONE
    said = json.loads(capsys.readouterr().out)
    assert (said["command"], said["target"], said["state"]) == ("undrain", MEMBER, "ADMITTED")
    assert read_knowledge(context(tmp_path / "state", world)).is_ready


@pytest.mark.parametrize(
    "option", [("--cut",), ("--deadline-s", "5"), ("--force", "outage"), ("--despite-drift",)]
)
def test_what_is_of_replicas_alone_is_refused(
    world: World, option: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["drain", MEMBER, "--yes", *option]) == ExitStatus.USAGE
    assert "MEMBER_OPTION" in capsys.readouterr().err
    assert MEMBER not in world.handed_over


def test_a_replica_is_drained_as_before(world: World) -> None:
    world.rate_per_tick = 0
    assert run(["drain", "lab-chat-01", "--plan-only"]) == ExitStatus.DONE
    assert run(["drain", "lab-nobody-01", "--plan-only"]) == ExitStatus.REFUSED


def test_a_program_is_told_the_steps_of_a_replica(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["drain", "lab-chat-01", "--plan-only", "--output", "json"]) == ExitStatus.DONE
    said = json.loads(capsys.readouterr().out)
    assert list(said) == ["schema", "command", "fingerprint", "steps"]
    assert said["steps"][0] == {"id": "01", "kind": "declare-draining", "target": "lab-chat-01"}
