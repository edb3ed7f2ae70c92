"""Planned work, and a lost host, with a stock haproxy.cfg and restarts: what ours is held to.

``python -m tests.bench.stock`` on a deployed lab with PERMAFROST_SITE; ``--restore`` brings the
edges back where a run of it was killed. While it runs the edges serve ``pulse`` alone. An operator
comments a server's line out and restarts HAProxy on each edge, switches the VM off and on, and
puts the line back; a checkpoint is exchanged by restarting Triton on one replica after the other.
Load, recorder and columns are those of ``planned``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lab.hypervisor.machine import Machine
from lab.instance.model import default_root, load
from permafrost.site.load import load_site
from permafrost.topology import edges, replicas
from tests.acceptance.driver import ROOT, Cli, VCenter, traffic, vcenter, wait_until
from tests.acceptance.versions import Versions, pulse, two_versions
from tests.bench import by_hand
from tests.bench.endings import ended_by_signals
from tests.bench.host_loss import loss_table
from tests.bench.planned import HEADINGS, RATE, row

HEALTHY_S, INTERRUPTED = 300, 130


@dataclass(frozen=True)
class Lab:
    """The deployed lab as the baseline handles it."""

    site: Path
    edges: by_hand.StockEdges
    replicas: tuple[Machine, ...]
    permafrost: Cli
    program: Cli

    @classmethod
    def of(cls, site: Path) -> Lab:
        """Return the lab of a rendered site file."""
        loaded, instance = load_site(site).site, load(default_root())
        serving = replicas(loaded, "pulse")
        env = {**os.environ, "PERMAFROST_SITE": str(site)}
        return cls(
            site,
            by_hand.StockEdges(
                tuple(Machine(instance, edge.name) for edge in edges(loaded)),
                loaded.inference["pulse"].port,
                {replica.name: str(replica.address) for replica in serving},
            ),
            tuple(Machine(instance, replica.name) for replica in serving),
            Cli(ROOT / ".venv/bin/permafrost", env),
            Cli(ROOT / ".venv/bin/permafrost-lab", env),
        )

    def status(self) -> dict[str, Any]:
        """Return what ``permafrost status`` says."""
        found: dict[str, Any] = self.permafrost.json("status")
        return found

    def await_healthy(self) -> None:
        """Wait until everything serves as the product has it."""
        wait_until("the site is healthy", lambda: self.status()["healthy"], HEALTHY_S, 2)


def stock_tables(site: Path) -> Iterator[Table]:
    """Yield the table of planned work by hand, then that of a lost host."""
    lab = Lab.of(site)
    with ended_by_signals(), vcenter(lab.program.json("status")) as vsphere:
        yield work_table(lab, vsphere)
        yield loss_table(lab.program, lab.status, vsphere, lambda: by_hand.stock(lab.edges))


def work_table(lab: Lab, vsphere: VCenter) -> Table:
    """Each work by hand on pulse, under the load of ``planned``."""
    lab.await_healthy()
    slot = pulse(lab.permafrost)["slot"]
    if slot != by_hand.SLOT:
        raise RuntimeError(
            f"pulse is answered from slot {slot}: the stock configuration asks slot "
            f"{by_hand.SLOT}; `permafrost rollback pulse` or another upgrade brings it there"
        )
    table = Table(
        title=f"the same by hand with a stock haproxy.cfg and restarts, under {RATE}/s (lab)"
    )
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        versions = two_versions(lab.site, lab.permafrost, folder)
        # Edges first on the way back: they are what clients meet.
        with (
            by_hand.loaded_before(lab.replicas, versions.old, versions.new),
            by_hand.stock(lab.edges) as stock,
        ):
            for number, (name, work) in enumerate(works(lab, stock, vsphere, versions)):
                file = folder / f"{number}.jsonl"
                with traffic(lab.program, "pulse", RATE, 900, 0.5, file, *versions.also) as sent:
                    table.add_row(*row(sent, name, lambda work=work: _done(work)))
    lab.await_healthy()
    return table


def works(
    lab: Lab, stock: by_hand.StockEdges, vsphere: VCenter, versions: Versions
) -> list[tuple[str, Callable[[], float]]]:
    """Return the works in order, each with the function that returns the machines' seconds."""
    one = lab.replicas[1]

    def in_again() -> float:
        stock.configure()
        stock.await_up()
        return 0.0

    def out() -> float:
        stock.configure(out=(one.name,))
        stock.await_up(out=(one.name,))
        return 0.0

    return [
        ("server out", out),
        ("server in again", in_again),
        ("out, VM off and on, in", lambda: by_hand.maintain(stock, one, vsphere)),
        (
            "restart with the other checkpoint",
            lambda: by_hand.exchange(stock, lab.replicas, versions.old, versions.new),
        ),
    ]


def _done(work: Callable[[], float]) -> Callable[[], float]:
    seconds = work()
    return lambda: seconds


def main() -> int:
    """Measure and print, or bring the edges back."""
    parser = argparse.ArgumentParser(prog="tests.bench.stock", description=__doc__)
    parser.add_argument("--restore", action="store_true", help="only bring the edges back")
    given = parser.parse_args()
    if not os.environ.get("PERMAFROST_SITE"):
        parser.error("PERMAFROST_SITE names no site file: this runs on a deployed lab")
    site = Path(os.environ["PERMAFROST_SITE"])
    if given.restore:
        by_hand.restore(Lab.of(site).edges.edges)
        return 0
    try:
        for table in stock_tables(site):
            Console(width=200).print(table)
    except KeyboardInterrupt:
        sys.stderr.write("broken off; edges and replicas are brought back\n")
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
