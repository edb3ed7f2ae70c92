"""Timed parts: announced, ended, and told in a table."""

from __future__ import annotations

import io

import pytest

from lab.front.stages import Stages


def test_parts_are_told_with_how_they_ended() -> None:
    out = io.StringIO()
    stages = Stages(out=out)
    with stages.stage("build", "all"):
        pass
    with pytest.raises(ValueError, match="no"), stages.stage("deploy", "machines"):
        raise ValueError("no")
    lines = out.getvalue().splitlines()
    assert lines[0] == "==> build: all"
    assert lines[1].startswith("<== build: done in ")
    assert lines[3].startswith("<== deploy: FAILED in ")
    table = stages.table().splitlines()
    assert [line.split()[0] for line in table] == ["build", "deploy", "in"]
    assert table[1].endswith("FAILED")
    assert not table[0].endswith("FAILED")
