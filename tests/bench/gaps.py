"""What one event cost clients, with each of two configurations, as a table. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from tests.knowledge.history import Asked, judge

KINDS = ("search", "insert")
HEADINGS = (
    "event", "asked for", "ours s", "defaults s", "ratio",
    "wrong: ours", "defaults", "failed: ours", "defaults",
)  # fmt: skip


@dataclass(frozen=True)
class Gap:
    """One kind of request. ``wrong``: other answers than the known one, inserts that are gone.

    ``outage_s``: the longest time without a right answer; at least that, where it did not end
    while anybody looked.
    """

    outage_s: float
    wrong: int
    failed: int
    has_ended: bool = True


Gaps = Mapping[str, Gap]
"""By kind of request."""


def gap_of(
    entries: Sequence[Asked], began_s: float, ended_s: float, quiet_s: float, lost: int = 0
) -> Gap:
    """Judge the requests of one kind that began in a window; ``lost``: inserts that are gone.

    It has ended where all was right for ``quiet_s`` in the end.
    """
    seen = judge(entries, began_s, ended_s)
    has_ended = is_quiet(entries, ended_s, quiet_s)
    return Gap(seen.outage_s, seen.wrong + lost, seen.failed, has_ended)


def is_quiet(entries: Sequence[Asked], now_s: float, quiet_s: float) -> bool:
    """Whether requests that ended lately were answered right, all of them, and there were such."""
    late = [a for a in entries if a.ended_s > now_s - quiet_s]
    return bool(late) and all(a.outcome == "ok" for a in late)


def together(rounds: Sequence[Gaps]) -> dict[str, Gap]:
    """Return the median outage of some rounds of one event, and all that was wrong or failed."""
    return {
        kind: Gap(
            statistics.median(r[kind].outage_s for r in rounds),
            sum(r[kind].wrong for r in rounds),
            sum(r[kind].failed for r in rounds),
            all(r[kind].has_ended for r in rounds),
        )
        for kind in KINDS
    }


def rows_of(event: str, ours: Gaps, defaults: Gaps) -> Iterator[tuple[str, ...]]:
    """Yield a row for each kind of request; the ratio is of our outage to that of the defaults.

    There is none where ours did not end: it would be a figure about how long was looked.
    """
    for kind in KINDS:
        o, d = ours[kind], defaults[kind]
        bound = "" if d.has_ended else "< "
        is_known = o.has_ended and d.outage_s > 0
        yield (
            event,
            kind,
            _seconds(o),
            _seconds(d),
            f"{bound}{o.outage_s / d.outage_s:.2f}" if is_known else "-",
            *(str(n) for n in (o.wrong, d.wrong, o.failed, d.failed)),
        )


def gap_table(found: Mapping[str, tuple[Gaps, Gaps]], rounds: int) -> Table:
    """Return the table of event -> (ours, by the defaults)."""
    many = "" if rounds == 1 else f", medians of {rounds}, sums"
    table = Table(title=f"seconds without a right answer: ours, Milvus' own defaults{many} (lab)")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for event, (ours, defaults) in found.items():
        for row in rows_of(event, ours, defaults):
            table.add_row(*row)
    return table


def settings_table(tuned: Mapping[str, tuple[Any, Any]]) -> Table:
    """Return what was set back, out of setting -> (shipped, ours)."""
    table = Table(title="what the defaults are the defaults of")
    for heading in ("setting", "ours", "shipped"):
        table.add_column(heading)
    for name, (shipped, ours) in tuned.items():
        table.add_row(name, str(ours), str(shipped))
    return table


def _seconds(gap: Gap) -> str:
    return f"{'' if gap.has_ended else '> '}{gap.outage_s:.1f}"
