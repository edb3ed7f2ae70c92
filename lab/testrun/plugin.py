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

_NOT_STARTED = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of a run."""
    group = parser.getgroup("permafrost")
    group.addoption(
        "--start-until", type=float, default=0.0, help="no test starts after (epoch s)"
    )
    group.addoption("--sample", default="", help="of each file one test, chosen by this text")
    group.addoption("--shard", default="", help="k/n: every n-th test, by its name")
    group.addoption("--ledger", default="", help="outcomes so far; what passed is not run again")


def choose(candidates: list[str], seed: str) -> str:
    """Return one of the names, chosen by ``seed`` alone, whatever their order."""
    return min(candidates, key=lambda name: hashlib.sha256(f"{seed}\0{name}".encode()).digest())


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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the sample, the shard, and what has not passed yet."""
    keep = {item.nodeid for item in items}
    if seed := config.getoption("--sample"):
        families: dict[str, list[str]] = defaultdict(list)
        for item in items:
            families[item.nodeid.partition("::")[0]].append(item.nodeid)
        keep = {choose(names, seed) for names in families.values()}
    keep = {name for name in keep if in_shard(name, config.getoption("--shard"))}
    if ledger := config.getoption("--ledger"):
        keep -= passed_before(Path(ledger))
    dropped = [item for item in items if item.nodeid not in keep]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item.nodeid in keep]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start nothing that could not end in time."""
    until = item.config.getoption("--start-until")
    if until and time.time() > until:
        item.config.stash.setdefault(_NOT_STARTED, []).append(item.nodeid)
        pytest.fail("not started: the run's time for starting tests is over", pytrace=False)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write each outcome to the ledger at once, so that a run cut short loses nothing."""
    ledger = _ledger
    if ledger is None or (report.when != "call" and report.outcome == "passed"):
        return
    entry = {
        "test": report.nodeid,
        "outcome": report.outcome,
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
