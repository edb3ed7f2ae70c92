"""Progress in bytes: lines where nobody sees a bar, a bar on a terminal."""

from __future__ import annotations

import sys

import pytest

from permafrost.cli import progress as module
from permafrost.cli.progress import progress


def test_lines_say_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "LINE_EVERY_S", 0.0)
    with progress("push chat:1") as meter:
        meter.expect(3000)
        meter.spare(1000)
        meter.move(1500)
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == "push chat:1: 2,500 of 3,000 bytes"
    assert said.out == ""
    assert meter.says() == "1,500 bytes moved, 1,000 were there"
    assert meter.as_dict() == {"bytes_moved": 1500, "bytes_spared": 1000}


def test_a_short_transfer_says_nothing_on_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("pull chat:1") as meter:
        meter.expect(10)
        meter.move(10)
    assert capsys.readouterr().err == ""


def test_a_terminal_sees_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress("pull chat:1") as meter:
        meter.expect(2_000_000)
        meter.move(1_000_000)
    assert "pull chat:1" in capsys.readouterr().err
