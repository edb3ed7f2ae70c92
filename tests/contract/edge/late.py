"""Health answers of every replica that come late, or not at all, while clients ask."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.contract.edge.front import Asked, Front

RATE, LASTS_S, LOOKED_AT_S = 15, 12.0, 4.0
STANDS_S, RUNS_S = 1.6, 0.3


def late(
    folder: Path, *, late_s: float, changed: Callable[[str], str] | None = None
) -> dict[str, Any]:
    """Let health answers take so long from now on; say what clients got, and at last of whom."""
    with (
        Front(folder, changed=changed, late_s=late_s) as front,
        ThreadPoolExecutor(max_workers=60) as pool,
    ):
        front.is_late.set()
        began = time.time()
        answers = _asked(front, pool, LASTS_S)
    in_the_end = [a for a in answers if a.began - began >= LASTS_S - LOOKED_AT_S]
    return {
        "statuses": Counter(str(a.status) for a in answers),
        "in_the_end": Counter(a.headers.get("permafrost-replica", "") for a in in_the_end),
    }


def starved(folder: Path, *, changed: Callable[[str], str] | None = None) -> dict[str, Any]:
    """Let every node's HAProxy stand still for five sixths of the time, all at once."""
    ended = threading.Event()
    with Front(folder, changed=changed) as front, ThreadPoolExecutor(max_workers=90) as pool:

        def starve() -> None:
            while not ended.is_set():
                front.signal_nodes(signal.SIGSTOP)
                time.sleep(STANDS_S)
                front.signal_nodes(signal.SIGCONT)
                ended.wait(RUNS_S)

        starving = threading.Thread(target=starve)
        starving.start()
        try:
            answers = _asked(front, pool, LASTS_S)
        finally:
            ended.set()
            starving.join()
    return {
        "statuses": Counter(str(a.status) for a in answers),
        "slowest_s": max(a.took_s for a in answers),
    }


def _asked(front: Front, pool: ThreadPoolExecutor, lasts_s: float) -> list[Asked]:
    began, asked = time.time(), []
    for n in range(int(RATE * lasts_s)):
        time.sleep(max(0.0, began + n / RATE - time.time()))
        asked.append(pool.submit(front.ask))
    return [a.result() for a in asked]
