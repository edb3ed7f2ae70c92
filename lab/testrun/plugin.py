"""pytest's part of a run: the last moment to start a test, samples, shards, resuming.

Used with ``-p lab.testrun.plugin``; silent unless one of its options is given.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from pathlib import Path

import pytest

LATER = "not started: run the shard again"
_NOT_STARTED = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of a run."""
    group = parser.getgroup("permafrost")
    group.addoption(
        "--start-until", type=float, default=0.0, help="no test starts after (epoch s)"
    )
    group.addoption("--sample", default="", help="text that chooses among exhaustive tests")
    group.addoption("--sampled", default="", help="file that tells what was chosen (JSON)")
    group.addoption("--over", choices=("fail", "later"), default="fail", help="what that is")
    group.addoption("--shard", default="", help="k/n: every n-th test, by its name")
    group.addoption("--ledger", default="", help="outcomes so far; what passed is not run again")


def choose(candidates: list[str], seed: str, count: int = 1) -> list[str]:
    """Return some of the names, chosen by ``seed`` alone, whatever their order."""
    by_hash = {n: hashlib.sha256(f"{seed}\0{n}".encode()).digest() for n in candidates}
    return sorted(candidates, key=by_hash.__getitem__)[:count]


def in_shard(name: str, shard: str) -> bool:
    """Say whether a test belongs to shard ``k/n``."""
    if not shard:
        return True
    index, _, count = shard.partition("/")
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return number % int(count) == int(index) - 1


def passed_before(ledger: Path) -> set[str]:
    """Return the tests that a ledger says have passed. A line cut short is no line."""
    names = set()
    for line in ledger.read_text(encoding="utf-8").splitlines() if ledger.exists() else []:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry["outcome"] == "passed":
            names.add(entry["test"])
    return names


@pytest.hookimpl(tryfirst=True)  # before pytest's own -m takes soak tests out
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the samples, the shard, and what has not passed yet."""
    if seed := config.getoption("--sample"):
        chosen = _sample(items, seed)
        for item in items:
            family = _family(item)
            if family in chosen and item.nodeid not in chosen[family]:
                item.add_marker(pytest.mark.soak)
        if told := config.getoption("--sampled"):
            # Each process of a run on several cores tells the same.
            Path(told).write_text(json.dumps(chosen, indent=1) + "\n", encoding="utf-8")
    keep = {i.nodeid for i in items if in_shard(i.nodeid, config.getoption("--shard"))}
    if ledger := config.getoption("--ledger"):
        keep -= passed_before(Path(ledger))
    dropped = [item for item in items if item.nodeid not in keep]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item.nodeid in keep]


def _family(item: pytest.Item) -> str | None:
    """Return the family of an exhaustive test: its function's name; None for any other."""
    return item.nodeid.partition("[")[0] if item.get_closest_marker("exhaustive") else None


def _sample(items: list[pytest.Item], seed: str) -> dict[str, list[str]]:
    """Return of each family what a quick run does; a marker's first argument says how many."""
    families: dict[str, list[str]] = defaultdict(list)
    counts: dict[str, int] = {}
    for item in items:
        if (family := _family(item)) is not None:
            families[family].append(item.nodeid)
            marker = item.get_closest_marker("exhaustive")
            counts[family] = int(marker.args[0]) if marker else 1
    return {family: choose(names, seed, counts[family]) for family, names in families.items()}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start nothing that could not end in time."""
    until = item.config.getoption("--start-until")
    if until and time.time() > until:
        item.config.stash.setdefault(_NOT_STARTED, []).append(item.nodeid)
        if item.config.getoption("--over") == "later":
            pytest.skip(LATER)
        pytest.fail("not started: the run's time for starting tests is over", pytrace=False)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write each outcome to the ledger at once, so that a run cut short loses nothing."""
    ledger = _ledger
    if ledger is None or (report.when != "call" and report.outcome == "passed"):
        return
    later = report.skipped and LATER in str(report.longrepr)
    entry = {
        "test": report.nodeid,
        "outcome": "not started" if later else report.outcome,
        "seconds": round(report.duration, 2),
    }
    with ledger.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


_ledger: Path | None = None


def pytest_configure(config: pytest.Config) -> None:
    """Remember where outcomes go: reports do not carry the configuration."""
    global _ledger
    _ledger = Path(config.getoption("--ledger")) if config.getoption("--ledger") else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what did not run."""
    missing = terminalreporter.config.stash.get(_NOT_STARTED, [])
    if missing:
        terminalreporter.section("did not run: no time was left")
        for name in missing:
            terminalreporter.write_line(name)
