"""Health answers of every replica that come late, or not at all, while clients ask."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.contract.edge.front import Front

RATE, LASTS_S, LOOKED_AT_S = 15, 12.0, 4.0


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
        asked = []
        for n in range(int(RATE * LASTS_S)):
            time.sleep(max(0.0, began + n / RATE - time.time()))
            asked.append(pool.submit(front.ask))
        answers = [a.result() for a in asked]
    in_the_end = [a for a in answers if a.began - began >= LASTS_S - LOOKED_AT_S]
    return {
        "statuses": Counter(str(a.status) for a in answers),
        "in_the_end": Counter(a.headers.get("permafrost-replica", "") for a in in_the_end),
    }
