"""More requests at once than replicas take and queues hold, against our configuration."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.contract.edge.front import Front

AT_ONCE = 320
"""``chat`` takes 48 at once and lets 192 wait."""
ANSWER_S = 3.0


def overload(folder: Path) -> dict[str, Any]:
    """Ask many times at once, then as often as fits; say what came back, and how soon."""
    with (
        Front(folder, answer_s=ANSWER_S) as front,
        ThreadPoolExecutor(max_workers=AT_ONCE) as pool,
    ):
        began = time.monotonic()
        asked = list(pool.map(lambda _: front.ask(timeout_s=60), range(AT_ONCE)))
        took_s = time.monotonic() - began
        calm = list(pool.map(lambda _: front.ask(timeout_s=60), range(10)))
    refused = [a for a in asked if a.status == 429]
    return {
        "statuses": Counter(str(a.status) for a in asked),
        "retry_after": sorted({a.headers.get("retry-after", "") for a in refused}),
        "said": sorted({a.body for a in refused}),
        "took_s": took_s,
        "calm": Counter(str(a.status) for a in calm),
    }
