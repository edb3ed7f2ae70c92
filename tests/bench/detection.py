"""A replica lost without a word: our configuration against HAProxy's own checks and no retries.

A real HAProxy, edge and nodes, in a network of their own; the server behind answers after 0.2 s.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = "tests.contract.edge.scenario"
ROUNDS = 3
FIGURES = (
    ("new requests", "new"),
    ("of them failed", "new_failed"),
    ("last that waited, s after the loss", "gap_s"),
    ("slowest new, s", "new_slowest_s"),
    ("under way and failed", "under_way_failed"),
    ("slowest under way, s", "under_way_slowest_s"),
)


def lost(name: str) -> dict[str, Any]:
    """Return what clients saw of one loss."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["unshare", "--net", sys.executable, "-m", SCENARIO, name, folder],
            cwd=ROOT, capture_output=True, text=True, timeout=180, check=True,
        )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def detection_table() -> Table:
    """Medians over rounds that measure both, one right after the other."""
    pairs = [(lost("plain"), lost("ours")) for _ in range(ROUNDS)]
    table = Table(title="a replica lost without a word, 12 requests/s (loopback)")
    for heading in ("figure", "HAProxy's own checks", "ours"):
        table.add_column(heading, justify="right")
    for label, name in FIGURES:
        plain, ours = (statistics.median(pair[i][name] for pair in pairs) for i in (0, 1))
        table.add_row(label, f"{plain:.2f}", f"{ours:.2f}")
    return table
