"""``make bench``: tables of ratios, each against a baseline measured in the same run (lab)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lab.build import parts
from lab.traffic import source
from permafrost.site.load import load_site
from permafrost.topology import replicas
from tests.bench import path, registry
from tests.bench.detection import detection_table
from tests.bench.echo import echo_table
from tests.bench.knowledge import throughput_table
from tests.bench.knowledge_gaps import gap_tables
from tests.bench.measure import closed_loop, in_turn
from tests.bench.no_change import no_change_table
from tests.bench.planned import journal_table, planned_tables
from tests.bench.planned_chat import chat_tables
from tests.bench.planning import planning_table
from tests.bench.site import let_in, named_site
from tests.bench.stock import stock_tables

NODE_PORT = 8443
FIGURES = (("requests/s", "rate_per_s"), ("p50 ms", "p50_ms"), ("p99 ms", "p99_ms"))


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


def main() -> None:
    """Measure and print every table."""
    console = Console(width=100)
    console.print(echo_table())
    site = named_site()
    console.print(path_table(site))
    console.print(path.path_table(site))
    console.print(path.memory_table())
    console.print(detection_table())
    console.print(no_change_table(site))
    console.print(planning_table())
    console.print(journal_table())
    for table in planned_tables(site):
        Console(width=200).print(table)
    for table in chat_tables(site):
        Console(width=200).print(table)
    for table in stock_tables(site):
        Console(width=200).print(table)
    for table in registry.tables():
        console.print(table)
    if load_site(site).site.knowledge is not None:
        console.print(throughput_table(site))
        for table in gap_tables(site):
            Console(width=160).print(table)


if __name__ == "__main__":
    main()
