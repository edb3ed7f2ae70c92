"""What became of each search and each insert, and the judgement over it. Knows no product code."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Asked:
    """One request. ``outcome``: ok, wrong (an answer, not the known one), failed (an error)."""

    kind: str
    key: int
    began_s: float
    ended_s: float
    outcome: str
    said: str = ""


@dataclass
class History:
    """Everything that was asked, in the order in which it ended."""

    started: float = field(default_factory=time.monotonic)
    asked: list[Asked] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> float:
        """Return seconds since the beginning."""
        return time.monotonic() - self.started

    def add(self, entry: Asked) -> None:
        """Note one request that has ended."""
        with self._lock:
            self.asked.append(entry)

    def of(self, kind: str, since_s: float = 0.0, until_s: float = 1e9) -> list[Asked]:
        """Return the requests of a kind that began in a window."""
        with self._lock:
            return [a for a in self.asked if a.kind == kind and since_s <= a.began_s < until_s]

    def save(self, file: Path) -> None:
        """Write a line for each request."""
        with self._lock:
            file.write_text("".join(f"{json.dumps(asdict(a))}\n" for a in self.asked))


@dataclass(frozen=True)
class Verdict:
    """What a window of requests of one kind comes to."""

    asked: int
    ok: int
    wrong: int
    failed: int
    outage_s: float
    wrong_for_s: float

    def sentence(self) -> str:
        """Return it as a line for people."""
        return (
            f"{self.asked} asked, {self.ok} ok, {self.wrong} wrong or missing over "
            f"{self.wrong_for_s:.1f} s, {self.failed} failed, longest time without a right "
            f"answer {self.outage_s:.1f} s"
        )


def judge(entries: Iterable[Asked], since_s: float, until_s: float) -> Verdict:
    """Judge the requests of a window; an outage is the longest time without a right answer."""
    found = sorted(entries, key=lambda a: a.ended_s)
    good = [a.ended_s for a in found if a.outcome == "ok"]
    marks = [since_s, *good, until_s]
    wrong = [a.ended_s for a in found if a.outcome == "wrong"]
    return Verdict(
        asked=len(found),
        ok=len(good),
        wrong=len(wrong),
        failed=sum(a.outcome == "failed" for a in found),
        outage_s=max(b - a for a, b in itertools.pairwise(marks)),
        wrong_for_s=max(wrong) - min(wrong) if wrong else 0.0,
    )


def lost(entries: Iterable[Asked], there: Iterable[int]) -> list[int]:
    """Return every key whose insert was acknowledged and which is not there."""
    return sorted({a.key for a in entries if a.outcome == "ok"} - set(there))
