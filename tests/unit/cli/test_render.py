"""What people see."""

from __future__ import annotations

from pathlib import Path

import pytest

from permafrost.cli.render import show_plan, show_status
from permafrost.cli.screen import show_problems
from permafrost.errors import Problem
from permafrost.runbook.deploy import make_plan
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.status import read_status
from tests.fakes.site import context, registry_site, small_site
from tests.fakes.world import World

GOLDEN = Path(__file__).resolve().parents[2] / "golden/plans"


def plain(text: str) -> str:
    """Return text without trailing space, for golden files."""
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def test_status_shows_replicas_hosts_and_what_a_lost_host_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ctx = context(tmp_path / "state", World.of(small_site()))
    drain_replica(ctx, "lab-chat-02", owner="operator:me", reason="firmware [7.2]")
    show_status(read_status(ctx))
    assert plain(capsys.readouterr().out) == (GOLDEN / "status.txt").read_text(encoding="utf-8")


def test_hosts_without_a_replica_and_the_registry_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World.of(registry_site(), hosts=7)
    world.machines["lab-edge-01"].host = "lab-esx-07"
    world.machines["lab-registry-01"].host = "lab-esx-02"
    show_status(read_status(context(tmp_path / "state", world)))
    golden = GOLDEN / "status-registry.txt"
    assert plain(capsys.readouterr().out) == golden.read_text(encoding="utf-8")


def test_a_first_plan_is_a_numbered_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ctx = context(tmp_path / "state", World.of(small_site()))
    show_plan(make_plan(ctx))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "01  place lab-chat-01 on lab-esx-01 0000:3b:00.0"
    assert len(lines) == 11
    assert lines[7:10] == [
        "    edge: 1 on 1 host; any host lost leaves 0 (needs 1); survives 0",
        *(
            f"    {name}: 3 on 3 hosts; any host lost leaves 2 (needs 2), "
            "2 of 3 requests at once; survives 1"
            for name in ("chat", "pulse")
        ),
    ]
    assert lines[-1].startswith("plan sha256:")


def test_problems_go_to_stderr_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    show_problems([Problem("SOME_CODE", "went [wrong]", "a.b", "mend it")])
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err == "SOME_CODE a.b: went [wrong]\n    mend it\n"
