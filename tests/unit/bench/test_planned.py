"""Where the seconds of a planned work went, out of its journal."""

from __future__ import annotations

from typing import Any

import pytest

from permafrost.planning.drain import DrainStep
from permafrost.planning.maintenance_steps import HostStep
from permafrost.planning.replicas import AdmitStep
from permafrost.planning.slot_steps import SlotStep
from tests.bench.planned import MACHINES, parted

NOON = 1767268800.0  # 2026-01-01T12:00:00Z


def line(second: int, kind: str, phase: str, took_s: float = 0.0) -> dict[str, Any]:
    at = f"2026-01-01T12:00:{second:02}+00:00"
    return {"at": at, "kind": kind, "phase": phase, "detail": {"took_s": took_s} if took_s else {}}


def test_each_second_is_somebodys() -> None:
    journal = [
        line(2, "declare-draining", "INTENT"),
        line(3, "declare-draining", "DONE", 1.0),
        line(4, "await-idle", "INTENT"),
        line(9, "await-idle", "DONE", 5.0),
        line(10, "declare-drained", "ALREADY"),
    ]
    parts = parted(journal, NOON, NOON + 12)
    assert parts == pytest.approx((2, 5, 1, 2, 2))
    assert sum(parts) == pytest.approx(12)


def test_the_machines_steps_are_steps_that_there_are() -> None:
    known = {s.value for kinds in (DrainStep, HostStep, AdmitStep, SlotStep) for s in kinds}
    assert set(MACHINES) <= known
    told = {k for k in known if k.startswith(("set-edges", "declare", "record"))}
    assert not told & set(MACHINES), "telling edges and writing records is ours"
