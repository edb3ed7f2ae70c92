"""``make bench``: tables of ratios, each against a baseline measured in the same run (lab)."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lab.build import parts
from lab.faults import targets
from lab.hypervisor.machine import Machine
from lab.instance.model import default_root, load
from lab.traffic import source
from permafrost.adapters.ansible import AnsibleConverger
from permafrost.site.load import load_site
from permafrost.topology import edges, replicas
from tests.bench import path, registry
from tests.bench.detection import detection_table
from tests.bench.echo import echo_table
from tests.bench.measure import closed_loop, in_turn
from tests.bench.planned import journal_table, planned_tables
from tests.bench.planning import planning_table
from tests.bench.stock import stock_tables

ROOT = Path(__file__).resolve().parents[2]
NODE_PORT = 8443
FIGURES = (("requests/s", "rate_per_s"), ("p50 ms", "p50_ms"), ("p99 ms", "p99_ms"))


@contextmanager
def let_in(replica: str, address: object) -> Iterator[None]:
    """Let this computer ask a replica itself, which its walls keep for the edges."""
    machine = Machine(load(default_root()), replica)
    element = ("element", "inet", "permafrost_walls", "edges", f"{{ {address} }}")
    targets.inside(machine, "nft", "add", *element)
    try:
        yield
    finally:
        targets.inside(machine, "nft", "delete", *element)


def path_table(site: Path) -> Table:
    """Whole path (edge and node HAProxy) against the node's HAProxy alone, on pulse, no delay."""
    loaded = load_site(site)
    layout = parts.path("checkpoint-pulse") / "oci"
    work = source.workload(loaded, "pulse", layout, interval_ms=0, max_tokens=4)
    edge = source.target(loaded, "pulse", 30)
    node = replace(
        edge, base_url=f"https://{replicas(loaded.site, 'pulse')[0].address}:{NODE_PORT}"
    )
    context = source.tls(loaded)
    table = Table(title="pulse, no delay: edge + node HAProxy against node HAProxy alone (lab)")
    for heading in ("clients", "figure", "node alone", "whole path", "ratio"):
        table.add_column(heading, justify="right")
    for workers in (1, 16):
        with let_in(replicas(loaded.site, "pulse")[0].name, loaded.site.network.gateway):
            base, whole = in_turn(
                3,
                lambda workers=workers: closed_loop(node, work, context, workers, 4),
                lambda workers=workers: closed_loop(edge, work, context, workers, 4),
            )
        for label, name in (
            ("requests/s", "rate_per_s"),
            ("p50 ms", "p50_ms"),
            ("p99 ms", "p99_ms"),
        ):
            b, p = getattr(base, name), getattr(whole, name)
            table.add_row(str(workers), label, f"{b:.2f}", f"{p:.2f}", f"{p / b:.2f}")
    return table


def deploy_table(site: Path) -> Table:
    """A deploy with nothing to do against a bare ``pulumi up`` and one bare playbook run.

    The playbook runs on one edge, and only looks (check mode): the least that somebody would do
    by hand to know that the nodes are as they should be.
    """
    loaded = load_site(site)
    edge, converger = edges(loaded.site)[0], AnsibleConverger(loaded)
    playbook: list[float] = []
    command = ROOT / ".venv/bin/permafrost"
    env = {**os.environ, "PERMAFROST_SITE": str(site)}
    up = f'eval "$({command} env)" && pulumi up --yes --non-interactive --expect-no-changes'
    seconds: dict[str, list[float]] = {up: [], f"{command} deploy --yes": []}
    for _ in range(3):
        for line in seconds:
            begin = time.monotonic()
            subprocess.run(
                ["/bin/bash", "-ec", line], cwd=ROOT, env=env, check=True, capture_output=True,
                timeout=300,
            )  # fmt: skip
            seconds[line].append(time.monotonic() - begin)
        begin = time.monotonic()
        converger.converge(edge, check=True)
        playbook.append(time.monotonic() - begin)
    bare, deploy, play = (sorted(s)[1] for s in (*seconds.values(), playbook))
    table = Table(
        title="nothing to change: permafrost deploy against bare pulumi up + one playbook (lab)"
    )
    for heading in ("pulumi up s", "playbook s", "deploy s", "ratio", "to pulumi up alone"):
        table.add_column(heading, justify="right")
    table.add_row(
        *(f"{bare:.1f}", f"{play:.1f}", f"{deploy:.1f}"),
        *(f"{deploy / (bare + play):.2f}", f"{deploy / bare:.2f}"),
    )
    return table


def main() -> None:
    """Measure and print every table."""
    console = Console(width=100)
    console.print(echo_table())
    site = Path(os.environ["PERMAFROST_SITE"])
    console.print(path_table(site))
    console.print(path.path_table(site))
    console.print(path.memory_table())
    console.print(detection_table())
    console.print(deploy_table(site))
    console.print(planning_table())
    console.print(journal_table())
    for table in planned_tables(site):
        Console(width=200).print(table)
    for table in stock_tables(site):
        Console(width=200).print(table)
    for table in registry.tables():
        console.print(table)


if __name__ == "__main__":
    main()
