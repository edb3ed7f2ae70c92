"""How far the nodes' clocks are from this machine's, and what their own timekeeper says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from permafrost.adapters.ssh import CommandResult, Shell
from permafrost.errors import Failed
from permafrost.facts import ClockFacts

ASKS = 3
"""The first answer pays for the connection; the quickest one says most."""
AT_ONCE = 16
DEADLINE_S = 15
_CLOCK = ("date", "+%s.%N")
_KEEPER = ("sh", "-c", "command -v chronyc >/dev/null || exit 0; exec chronyc -n -c tracking")
_SOURCE, _STATE, _FIELDS = 1, 13, 14
"""Columns of chronyc's report: whom it follows, and how its leap second stands."""


def read_clocks(
    shell: Shell, nodes: Iterable[str], now: Callable[[], float] = time.time
) -> Mapping[str, ClockFacts | None]:
    """Return each node's clock; None for a node that cannot be asked. ``now`` is this clock."""
    names = list(nodes)
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return dict(zip(names, pool.map(lambda n: _read(shell, n, now), names), strict=True))


def _read(shell: Shell, node: str, now: Callable[[], float]) -> ClockFacts | None:
    best: tuple[float, float] | None = None
    try:
        for _ in range(ASKS):
            before = now()
            answer = shell.run(node, _CLOCK, deadline_s=DEADLINE_S)
            after = now()
            seen = float(answer.stdout)
            half = (after - before) / 2
            if best is None or half < best[0]:
                best = (half, seen - (before + half))
        keeper = shell.run(node, _KEEPER, deadline_s=DEADLINE_S)
    except (Failed, ValueError):
        return None
    assert best is not None
    uncertainty, offset = best
    has_keeper, follows = _followed(keeper)
    return ClockFacts(offset, uncertainty, has_keeper=has_keeper, follows=follows)


def _followed(answer: CommandResult) -> tuple[bool, str]:
    """Return whether chrony answers, and the server it follows; none while it has no time."""
    columns = answer.stdout.strip().split(",")
    if answer.status != 0 or len(columns) != _FIELDS:
        return False, ""
    return True, "" if columns[_STATE] == "Not synchronised" else columns[_SOURCE]
