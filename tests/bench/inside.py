"""Clients that ask again as soon as they were answered, wherever this is run; prints figures.

``python -m tests.bench.inside URL CHECKPOINT CLIENTS SECONDS``, run in a machine's network so that
what listens there for the machine alone can be measured as well.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from lab.build import parts
from lab.traffic import source
from lab.traffic.client import Target
from permafrost.site.load import load_site
from tests.bench.measure import closed_loop

TIMEOUT_S = 30


def main() -> None:
    """Measure one target on pulse without delay."""
    url, checkpoint, clients, seconds = sys.argv[1:5]
    loaded = load_site(Path(os.environ["PERMAFROST_SITE"]))
    layout = parts.path("checkpoint-pulse") / "oci"
    work = source.workload(loaded, "pulse", layout, interval_ms=0, max_tokens=4)
    target = Target(url, "pulse", checkpoint.removeprefix("-"), TIMEOUT_S)
    figures = closed_loop(target, work, source.tls(loaded), int(clients), float(seconds))
    sys.stdout.write(json.dumps(asdict(figures)) + "\n")


if __name__ == "__main__":
    main()
