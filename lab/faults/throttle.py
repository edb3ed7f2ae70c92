"""Makes a unit slow: its control group stands still for a share of every period.

``python -m lab.faults.throttle GROUP SHARE PERIOD_MS``. Answers take about 1 / (1 - SHARE) times
as long. Ends when the group is gone; killed, it may leave the group standing still, and healing
the fault sets it going.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from lab.instance.cgroups import Cgroup


def main(argv: list[str] | None = None) -> int:
    """Throttle until ended."""
    path, share, period_ms = argv or sys.argv[1:]
    group = Cgroup(Path(path))
    still_s = float(share) * float(period_ms) / 1000
    going_s = float(period_ms) / 1000 - still_s
    while group.path.exists():
        group.freeze(on=True)
        time.sleep(still_s)
        group.freeze(on=False)
        time.sleep(going_s)
    return 0


if __name__ == "__main__":
    sys.exit(main())
