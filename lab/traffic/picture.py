"""A history as a picture: rate, latency and errors over time, with faults and steps marked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.traffic.check import percentile
from lab.traffic.marks import Mark, Sort
from lab.traffic.record import Outcome, Record, rfc3339

FORMATS = (".png", ".svg")
COLOURS = {Sort.FAULT: "#c0392b", Sort.HEAL: "#1e8449", Sort.STEP: "#1f618d", Sort.NOTE: "#555555"}
LOST = {
    Outcome.FAILED: "#c0392b",
    Outcome.CUT: "#e67e22",
    Outcome.WRONG: "#8e44ad",
    Outcome.REFUSED: "#7f8c8d",
}
LABELS_MAX = 24
LABEL_LENGTH = 38


def by_second(records: Sequence[Record], begin: float) -> dict[int, list[Record]]:
    """Return the requests by the second of the run in which they began."""
    found: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        if record.is_request:
            found[int(record.start - begin)].append(record)
    return found


def draw(records: Sequence[Record], marks: Sequence[Mark], file: Path) -> None:
    """Draw a history into a file. Raises LabError for a format or a history it cannot draw."""
    if file.suffix not in FORMATS:
        raise LabError("PICTURE_FORMAT", f"{file}: cannot be drawn", "name it .png or .svg")
    if not records:
        raise LabError(
            "HISTORY_EMPTY",
            "nothing was recorded, so there is nothing to draw",
            "draw a history in which requests were sent",
        )
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    begin = min(r.start for r in records)
    figure, panels = pyplot.subplots(3, 1, sharex=True, figsize=(12, 8), layout="constrained")
    seconds = by_second(records, begin)
    span = range(int(max(r.end for r in records) - begin) + 1)
    _rates(panels[0], records, seconds, span, begin)
    _latencies(panels[1], seconds, span)
    _losses(panels[2], records, span, begin)
    _mark(panels, marks, begin)
    panels[2].set_xlabel("seconds of the run")
    figure.suptitle(f"{len(records)} records from {rfc3339(begin)} (lab)", fontsize=10)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def _rates(
    panel: Any,
    records: Sequence[Record],
    seconds: dict[int, list[Record]],
    span: range,
    begin: float,
) -> None:
    panel.step(span, [len(seconds.get(s, ())) for s in span], where="post", label="begun")
    ended: dict[int, int] = defaultdict(int)
    for record in records:
        if record.is_request and record.outcome is Outcome.OK:
            ended[int(record.end - begin)] += 1
    panel.step(span, [ended.get(s, 0) for s in span], where="post", label="answered", alpha=0.7)
    panel.set_ylabel("requests/s")
    panel.set_ylim(bottom=0)
    panel.legend(loc="lower right", fontsize=8)


def _latencies(panel: Any, seconds: dict[int, list[Record]], span: range) -> None:
    nan = float("nan")
    firsts = {
        s: [r.token_ms[0] for r in found if r.token_ms and r.is_streamed]
        for s, found in seconds.items()
    }
    totals = {
        s: [(r.end - r.start) * 1000 for r in found if r.outcome is Outcome.OK]
        for s, found in seconds.items()
    }
    for name, values, share in (
        ("first token p50", firsts, 0.5),
        ("first token p99", firsts, 0.99),
        ("whole answer p50", totals, 0.5),
        ("whole answer p99", totals, 0.99),
    ):
        line = [percentile(values.get(s, ()), share) for s in span]
        panel.plot(span, [nan if v is None else v for v in line], label=name, linewidth=1)
    panel.set_ylabel("ms, by begin")
    panel.set_yscale("log")
    panel.legend(loc="lower right", fontsize=8)


def _losses(panel: Any, records: Sequence[Record], span: range, begin: float) -> None:
    counts = {outcome: [0] * len(span) for outcome in LOST}
    for record in records:
        if record.outcome in LOST:
            counts[record.outcome][min(int(record.end - begin), len(span) - 1)] += 1
    below = [0] * len(span)
    for outcome, values in counts.items():
        panel.bar(span, values, 1.0, below, label=outcome.value, color=LOST[outcome], align="edge")
        below = [a + b for a, b in zip(below, values, strict=True)]
    panel.set_ylabel("not ok/s, by end")
    panel.set_ylim(0, max(1, *below) * 1.1)
    panel.legend(loc="upper right", fontsize=8, ncols=4)


def _mark(panels: Any, marks: Sequence[Mark], begin: float) -> None:
    for mark in marks:
        for panel in panels:
            panel.axvline(mark.at - begin, color=COLOURS[mark.sort], linewidth=1, linestyle="--")
    # So many steps that their names would cover each other are lines alone.
    for mark in [m for m in marks if m.sort is not Sort.STEP or len(marks) <= LABELS_MAX]:
        panels[0].annotate(
            f"{mark.sort.value}: {mark.name}"[:LABEL_LENGTH],
            (mark.at - begin, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(2, -2),
            textcoords="offset points",
            rotation=90,
            va="top",
            fontsize=7,
            color=COLOURS[mark.sort],
        )
