"""Planned work under load against the same load just before it; and what a step costs by itself.

*Wall / floor*: how long the command took against the time that machines needed: the drain, the
power, the pull, the load and the proof, as the journal took it. The rest is ours: looking, telling
edges, writing the journal, starting the command; a second table says of it where it went. Those
steps have looks and pauses of ours in them too, so the floor is no less than what hands need.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.table import Table
from sqlalchemy import create_engine, text

from permafrost.engine.executor import Executor
from permafrost.engine.state import StateStore
from permafrost.engine.waiting import SystemClock
from permafrost.planning.steps import Draft, numbered
from tests.acceptance.driver import ROOT, Cli, Traffic, traffic, wait_until
from tests.acceptance.history import began, seconds, took_s
from tests.acceptance.versions import pulse, two_versions

HEADINGS = (
    "work", "requests", "losses", "p50 before", "during", "ratio", "p99 before", "during", "ratio",
    "wall s", "floor s", "wall/floor",
)  # fmt: skip
BEFORE_S, RATE, STEPS = 20.0, 40, 200
MACHINES = (
    "await-idle", "shut-down", "power-on", "enter-maintenance-mode", "exit-maintenance-mode",
    "move-vm", "await-answer", "prove", "await-up", "load-slot", "await-slot", "prove-slot",
    "await-slot-up", "unload-slot", "await-slot-idle", "fetch-checkpoint", "exchange-slot",
    "hand-over", "await-tier", "await-member",
)  # fmt: skip
"""Kinds of steps whose time is the machines': power, drain, pull, load, and the knowledge tier's
hand-over and return. To tell edges is ours: an operator does it too, but without our checks."""
Work = Callable[[], Callable[[], float]]
SPENT = ("work", "wall s", "to the first step", "machines' steps", "our steps", "between", "after")


def planned_tables(site: Path) -> tuple[Table, Table]:
    """Each planned work on pulse, under a steady load, and where its time went; lab.

    The checkpoint that an upgrade brings in is made and pushed first.
    """
    env = {**os.environ, "PERMAFROST_SITE": str(site)}
    permafrost = Cli(ROOT / ".venv/bin/permafrost", env)
    lab = Cli(ROOT / ".venv/bin/permafrost-lab", env)
    table, spent = empty(f"planned work under {RATE}/s on pulse, against the same before it (lab)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        versions = two_versions(site, permafrost, folder)
        replica = pulse(permafrost)["replicas"][1]
        works: list[tuple[str, ...]] = [
            ("drain", replica["name"]), ("undrain", replica["name"]),
            ("maintenance", "enter", replica["host"]), ("maintenance", "exit", replica["host"]),
            ("upgrade", "pulse", "--to", versions.new), ("rollback", "pulse"), ("retire", "pulse"),
        ]  # fmt: skip
        for number, work in enumerate(works):
            if work[0] in ("drain", "upgrade") or "enter" in work:
                wait_until(
                    "every replica serves", lambda: permafrost.json("status")["healthy"], 120, 1
                )
            file = folder / f"{number}.jsonl"
            with traffic(lab, "pulse", RATE, 900, 0.5, file, *versions.also) as load:
                command = partial(by_command, permafrost, work, spent)
                table.add_row(*row(load, " ".join(work), command))
    return table, spent


def empty(title: str) -> tuple[Table, Table]:
    """Return the table of planned works, and the one of where their seconds went; no rows yet."""
    tables = Table(title=title), Table(title="where the seconds of each went (lab)")
    for table, headings in zip(tables, (HEADINGS, SPENT), strict=True):
        for heading in headings:
            table.add_column(heading, justify="right")
    return tables


def row(load: Traffic, name: str, work: Work) -> list[str]:
    """Return one row: what a work cost the load's clients, against what they had before it."""
    return rows({name: load}, work)[0]


def rows(loads: Mapping[str, Traffic], work: Work, before_s: float = BEFORE_S) -> list[list[str]]:
    """Return a row for each load, by name, that a work was done under; the loads are ended.

    ``work`` does it, and returns what tells how many seconds of it the machines needed.
    """
    for load in loads.values():
        load.await_steady()
    first = time.time()
    wait_until("the load before", lambda: time.time() >= first + before_s, before_s + 10, 1)
    begun = time.time()
    floor_of = work()
    ended = time.time()
    for load in loads.values():
        load.end()
    for load in loads.values():
        load.finish()
    floor, wall = floor_of(), ended - begun
    ratio = f"{wall / floor:.2f}" if floor else "-"
    walls = [f"{wall:.1f}", f"{floor:.1f}", ratio]
    return [
        [name[:40], *_cost(load.records(), first, begun, ended), *walls]
        for name, load in loads.items()
    ]


def _cost(
    recorded: Sequence[dict[str, Any]], first: float, begun: float, ended: float
) -> list[str]:
    records = [r for r in recorded if r["kind"] in ("whole", "stream")]
    before = [r for r in records if first <= began(r) < begun - 5]
    during = [r for r in records if begun <= began(r) < ended]
    losses = sum(r["outcome"] != "ok" for r in records)
    p50, p99 = (_pair(before, during, cut) for cut in (50, 99))
    return [str(len(records)), str(losses), *p50, *p99]


def by_command(permafrost: Cli, work: Sequence[str], spent: Table) -> Callable[[], float]:
    """Do a work of `permafrost`; return what adds where its seconds went, and tells its floor."""
    begun = time.time()
    done = permafrost.json(*work, "--yes", timeout=600)
    ended = time.time()

    def floor() -> float:
        journal = permafrost.json("show", done["operation"])["journal"]
        parts = parted(journal, begun, ended)
        spent.add_row(" ".join(work)[:40], *(f"{s:.1f}" for s in (ended - begun, *parts)))
        return parts[1]

    return floor


def parted(
    journal: Sequence[dict[str, Any]], begun: float, ended: float
) -> tuple[float, float, float, float, float]:
    """Return the seconds of a command: before its first step, in machines' steps, in ours, between
    steps, after the last one. ``begun`` and ``ended`` are seconds since the epoch.
    """
    done = [e for e in journal if e["phase"] == "DONE"]
    took = {
        of: sum(float(e["detail"].get("took_s", 0)) for e in done if (e["kind"] in MACHINES) is of)
        for of in (True, False)
    }
    first, last = (seconds(journal[n]["at"]) for n in (0, -1))
    return first - begun, took[True], took[False], last - first - sum(took.values()), ended - last


def _pair(before: list[dict[str, Any]], during: list[dict[str, Any]], cut: int) -> list[str]:
    found = []
    for records in (before, during):
        took = [1000 * took_s(r) for r in records if r["outcome"] == "ok"]
        few = len(took) < 2
        found.append(
            0.0 if few else statistics.quantiles(took, n=100, method="inclusive")[cut - 1]
        )
    ratio = found[1] / found[0] if found[0] else 0.0
    return [f"{found[0]:.0f}", f"{found[1]:.0f}", f"{ratio:.2f}"]


def journal_table() -> Table:
    """What the executor adds to a step, against one durable commit to the same kind of file."""
    table = Table(title="a step that does nothing, against one durable SQLite commit")
    for heading in ("", "ms", "ratio"):
        table.add_column(heading, justify="right")
    (ROOT / ".cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".cache") as folder:
        commit = _median(_commit(Path(folder) / "one.db"))
        step = _steps(Path(folder) / "state")
    table.add_row("durable commit", f"{commit:.2f}", "1.00")
    table.add_row("step: lock, intent, evidence", f"{step:.2f}", f"{step / commit:.2f}")
    return table


def _commit(path: Path) -> Callable[[], None]:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("PRAGMA journal_mode=WAL"))
        connection.execute(text("PRAGMA synchronous=FULL"))
        connection.execute(text("CREATE TABLE t (a TEXT)"))

    def once() -> None:
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO t VALUES ('x')"))

    return once


def _median(once: Callable[[], None]) -> float:
    took = []
    for _ in range(STEPS):
        began = time.monotonic()
        once()
        took.append(1000 * (time.monotonic() - began))
    return statistics.median(took)


def _steps(state_dir: Path) -> float:
    store = StateStore(state_dir)
    operation = store.begin("bench", owner="bench")
    nothing = SimpleNamespace(already=lambda: None, do=lambda: None, confirm=dict)
    with store.lock.held("bench") as token:
        executor = Executor(
            store, SystemClock(), lambda: store.lock.check(token), lambda *_: None, operation,
            "bench",
        )  # fmt: skip
        steps = numbered(Draft("nothing", "bench", 10.0) for _ in range(STEPS))
        began = time.monotonic()
        executor.run(steps, lambda _: nothing)
        took = time.monotonic() - began
    return 1000 * took / STEPS


if __name__ == "__main__":
    from rich.console import Console

    Console(width=160).print(journal_table())
    if "PERMAFROST_SITE" in os.environ:
        for part in planned_tables(Path(os.environ["PERMAFROST_SITE"])):
            Console(width=200).print(part)
