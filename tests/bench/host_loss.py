"""An ESXi host that vanishes without a word: what clients feel, with ours and a stock edge."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from rich.table import Table

from tests.acceptance.driver import Cli, VCenter, traffic, wait_until
from tests.acceptance.history import LOST, Record, began, gap_s, lost, took_s, under_way
from tests.acceptance.hosts import lose, whole_again, without_edges

RATE, AT_MOST_S = 40, 300
SHORT = ("--interval-ms", "50", "--max-tokens", "4", "--fresh", "--timeout-s", "60")
NORMAL_S = 0.7
"""What an answer of 200 ms takes on a busy machine."""
QUIET_S, CLOSED_S = 25.0, 150.0
"""The gap has closed when for so long no request began that was slow or lost; at most so late.

Longer than the four tries of 5 s after which a stock HAProxy says that it could not connect.
"""
FIGURES = (
    "new requests", "of them lost", "gap, s", "slowest new, s", "under way", "of them lost",
)  # fmt: skip


def loss_table(
    lab: Cli,
    status: Callable[[], dict[str, Any]],
    vsphere: VCenter,
    stock: Callable[[], AbstractContextManager[object]],
) -> Table:
    """Lose the host that has replicas and no edge, once with each configuration; lab."""
    wait_until("the site is healthy", lambda: status()["healthy"], 300, 2)
    table = Table(title=f"a host lost without a word, {RATE}/s on pulse (lab)")
    for heading in ("figure", "stock", "ours"):
        table.add_column(heading, justify="right")
    host = without_edges(status())
    columns = []
    for configured in (stock, nullcontext):
        with tempfile.TemporaryDirectory() as folder:
            columns.append(_lost(lab, status, vsphere, configured, host, Path(folder)))
    for label, theirs, ours in zip(FIGURES, *columns, strict=True):
        table.add_row(label, theirs, ours)
    return table


def _lost(
    lab: Cli,
    status: Callable[[], dict[str, Any]],
    vsphere: VCenter,
    configured: Callable[[], AbstractContextManager[object]],
    host: str,
    folder: Path,
) -> list[str]:
    with whole_again(lab, status, vsphere), configured():
        file = folder / "short.jsonl"
        with traffic(lab, "pulse", RATE, AT_MOST_S, 0, file, *SHORT) as load:
            load.await_steady()
            moment = lose(lab, "host-lost", host)
            wait_until(
                "the gap has closed", lambda: is_over(load.records(), moment), CLOSED_S, 0.5
            )
            load.end()
            load.finish()
    return figures(load.records(), moment)


def is_over(records: Sequence[Record], moment: float) -> bool:
    """Whether what began lately was well, as far as it has ended."""
    return time.time() - moment - gap_s(records, moment, NORMAL_S) > QUIET_S


def figures(records: Sequence[Record], moment: float) -> list[str]:
    """Return what new requests and those under way had of a loss, in the order of FIGURES."""
    new = [r for r in records if began(r) >= moment]
    open_then = under_way(records, moment)
    return [
        str(len(new)),
        str(len(lost(new))),
        f"{gap_s(records, moment, NORMAL_S):.2f}",
        f"{max(map(took_s, new), default=0.0):.2f}",
        str(len(open_then)),
        str(sum(r["outcome"] in LOST for r in open_then)),
    ]
