"""Moments on a history's time line: faults and heals of the lab, steps of operations, notes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lab.traffic.record import moment


class Sort(StrEnum):
    """Where a mark comes from."""

    FAULT = "fault"
    HEAL = "heal"
    STEP = "step"
    NOTE = "note"


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """One moment (seconds since the epoch) and what happened."""

    at: float
    sort: Sort
    name: str


def of_faults(file: Path) -> Iterator[Mark]:
    """Yield faults, heals and notes of a lab's record; a line cut short is left out."""
    names: dict[str, str] = {}
    lines = file.read_text().splitlines() if file.exists() else []
    for line in lines:
        with suppress(ValueError, KeyError):
            entry = json.loads(line)
            at = moment(entry["at"])
            match entry["event"]:
                case "apply":
                    names[entry["id"]] = f"{entry['kind']} {entry['target']}"
                    yield Mark(at, Sort.FAULT, names[entry["id"]])
                case "healed":
                    yield Mark(at, Sort.HEAL, names[entry["id"]])
                case "note":
                    yield Mark(at, Sort.NOTE, entry["text"])


def of_journal(database: Path) -> Iterator[Mark]:
    """Yield the steps of a site's operations: each intent of its journal."""
    if not database.exists():
        return
    query = "SELECT at, kind, target FROM journal WHERE phase = 'INTENT' ORDER BY seq"
    with suppress(sqlite3.Error), closing(_reader(database)) as connection:
        for at, kind, target in connection.execute(query):
            yield Mark(moment(at), Sort.STEP, f"{kind} {target}".strip())


def _reader(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)


def within(marks: Iterator[Mark], begin: float, end: float) -> list[Mark]:
    """Return the marks of a stretch of time, in their order."""
    return sorted(mark for mark in marks if begin <= mark.at <= end)
