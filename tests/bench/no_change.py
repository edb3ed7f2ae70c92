"""A deploy with nothing to do against a bare ``pulumi up`` and one bare playbook run.

``python -m tests.bench.no_change`` on a deployed lab with PERMAFROST_SITE. The playbook runs on
one edge, and only looks (check mode): the least that somebody would do by hand to know that the
nodes are as they should be. The three follow one another in each round.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from permafrost.adapters.ansible import AnsibleConverger
from permafrost.site.load import load_site
from permafrost.topology import edges

ROOT = Path(__file__).resolve().parents[2]
PERMAFROST = ROOT / ".venv/bin/permafrost"
UP = ("pulumi", "up", "--yes", "--non-interactive", "--expect-no-changes")
DEPLOY = (str(PERMAFROST), "deploy", "--yes")
ROUNDS = 3
DEADLINE_S = 300


@dataclass(frozen=True)
class Round:
    """Seconds of each, one after the other."""

    up: float
    playbook: float
    deploy: float


@dataclass(frozen=True)
class Result:
    """Medians of some rounds; the ratios are of the same round, then the median of those."""

    up: float
    playbook: float
    deploy: float
    ratio: float
    to_up_alone: float

    @classmethod
    def of(cls, rounds: list[Round]) -> Result:
        """Return the medians of at least one round."""
        median = statistics.median
        return cls(
            up=median(r.up for r in rounds),
            playbook=median(r.playbook for r in rounds),
            deploy=median(r.deploy for r in rounds),
            ratio=median(r.deploy / (r.up + r.playbook) for r in rounds),
            to_up_alone=median(r.deploy / r.up for r in rounds),
        )


def seconds(work: Callable[[], object]) -> float:
    """Return how long some work took by the clock; what it raises is raised."""
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def pulumis_environment(site: Path) -> dict[str, str]:
    """Return what a shell has after ``permafrost env``: read before anything is measured."""
    script = f'eval "$({PERMAFROST} env)" && env -0'
    done = subprocess.run(
        ["/bin/bash", "-ec", script],
        cwd=ROOT,
        env={**os.environ, "PERMAFROST_SITE": str(site)},
        check=True,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    return dict(entry.split("=", 1) for entry in done.stdout.split("\0") if "=" in entry)


def run(command: tuple[str, ...], env: Mapping[str, str]) -> None:
    """Run a command; raise RuntimeError with what it said where it fails, or changes something."""
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def measure(up: Callable[[], object], playbook: Callable[[], object],
            deploy: Callable[[], object], rounds: int = ROUNDS) -> list[Round]:  # fmt: skip
    """Do the three in turn, after one of each that warms caches and is not counted."""
    for work in (up, playbook, deploy):
        work()
    return [Round(seconds(up), seconds(playbook), seconds(deploy)) for _ in range(rounds)]


def table_of(result: Result) -> Table:
    """Return the result as a table."""
    table = Table(
        title="nothing to change: permafrost deploy against bare pulumi up + one playbook (lab)"
    )
    for heading in ("pulumi up s", "playbook s", "deploy s", "ratio", "to pulumi up alone"):
        table.add_column(heading, justify="right")
    table.add_row(
        *(f"{s:.1f}" for s in (result.up, result.playbook, result.deploy)),
        *(f"{r:.2f}" for r in (result.ratio, result.to_up_alone)),
    )
    return table


def no_change_table(site: Path) -> Table:
    """Measure on a deployed site on which nothing is to be changed."""
    loaded = load_site(site)
    edge, converger = edges(loaded.site)[0], AnsibleConverger(loaded)
    env = pulumis_environment(site)
    rounds = measure(
        lambda: run(UP, env),
        lambda: converger.converge(edge, check=True),
        lambda: run(DEPLOY, {**os.environ, "PERMAFROST_SITE": str(site)}),
    )
    return table_of(Result.of(rounds))


if __name__ == "__main__":
    if "PERMAFROST_SITE" not in os.environ:
        sys.exit("PERMAFROST_SITE names no site file: this runs on a deployed lab")
    Console(width=100).print(no_change_table(Path(os.environ["PERMAFROST_SITE"])))
