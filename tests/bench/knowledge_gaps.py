"""Failures under search and insert: our configuration, then Milvus' own, on the same machines.

``python -m tests.bench.knowledge_gaps`` on a deployed lab with a knowledge tier (PERMAFROST_SITE);
``--restore`` brings the members back where a run of it and its guard were killed. Same recorder,
same load, same beginning for both; how defaults come and go: ``milvus_members``. Stores, balancers
and units' own settings (restarts, time to stop) stay as deployed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pymilvus import MilvusException
from rich.console import Console
from rich.table import Table

from tests.acceptance.driver import ROOT, wait_until
from tests.bench.endings import ended_by_signals
from tests.bench.gaps import (
    KINDS,
    Gap,
    Gaps,
    gap_of,
    gap_table,
    is_quiet,
    settings_table,
    together,
)
from tests.bench.guard import outlived_by
from tests.bench.knowledge_tier import COORDINATORS, QUERY, QUEUE, Tier
from tests.bench.milvus_members import defaults_on, restore
from tests.bench.site import named_site
from tests.knowledge.driver import Door, keys_there, load_on, unused_keys
from tests.knowledge.filled import filled, users_of
from tests.knowledge.history import History, lost

QUIET_S, AT_LEAST_S, AT_MOST_S = 15.0, 75.0, 300.0
"""An event is over when all was right for so long; not before sessions by the defaults (30 s) have
ended and what follows from that has been seen; looked at no longer than the last."""
SETTLED_S = 60.0
INTERRUPTED = 130
UNITS = {
    "active coordinators killed": COORDINATORS,
    "query node killed": QUERY,
    "broker of the queue killed": QUEUE,
}
HOST = "host of the coordinators lost"
Strike = Callable[[], None]


@contextmanager
def killed(unit: str, tier: Tier) -> Iterator[Strike]:
    """Give what kills a unit: of the active coordinators, else of the first member that has it."""
    member, name = tier.member_with(unit)
    if unit == COORDINATORS:
        member = tier.first
    yield lambda: tier.kill(member, name)


def host_lost(tier: Tier) -> AbstractContextManager[Strike]:
    """Give what loses the host of the active coordinators; afterwards it is back with its VM."""
    hosts = {m["name"]: m["host"] for m in tier.status()["members"]}
    return tier.lost(hosts[tier.first])


@contextmanager
def event(name: str, tier: Tier) -> Iterator[Strike]:
    """Give what makes an event happen; what it leaves behind is mended after the block."""
    with host_lost(tier) if name == HOST else killed(UNITS[name], tier) as strike:
        yield strike


@dataclass(frozen=True)
class Window:
    """What clients asked, ``began_s`` to ``ended_s`` an event; ``first``: its least key."""

    history: History
    first: int
    began_s: float
    ended_s: float


@dataclass(frozen=True)
class Load:
    """The clients: where they go, who they are, what they know."""

    door: Door
    users: dict[str, str]
    known: np.ndarray

    @classmethod
    def of(cls, tier: Tier, site: Path) -> Load:
        """Return the load of the tests of the tier, and the collection that it needs."""
        users = users_of(site.parent)
        door = Door(tier.status()["address"], site.parent / "state" / "pki" / "ca.pem")
        return cls(door, users, filled(door, users))

    def asked(self, strike: Strike, file: Path) -> Window:
        """Return what clients asked around an event, until all is right; it goes to a file."""
        first = unused_keys()
        with load_on(self.door, self.users, self.known, first) as history:
            wait_until("all is right before", lambda: quiet(history), AT_MOST_S)
            began = history.now()
            strike()
            while (past := history.now() - began) < AT_MOST_S:
                if past >= AT_LEAST_S and quiet(history):
                    break
                time.sleep(0.5)
            ended = history.now()
        history.save(file)
        return Window(history, first, began, ended)

    def gaps(self, window: Window) -> dict[str, Gap]:
        """Return what clients had of an event; the tier answers again."""
        began, ended = window.began_s, window.ended_s
        gone = {"insert": len(self.gone(window.history, window.first))}
        return {
            kind: gap_of(
                window.history.of(kind, began, ended), began, ended, QUIET_S, gone.get(kind, 0)
            )
            for kind in KINDS
        }

    def gone(self, history: History, first: int) -> list[int]:
        """Return the acknowledged inserts that a consistent read does not find, after a while."""
        inserts = history.of("insert")
        count = max(a.key for a in inserts) - first + 1
        end = time.monotonic() + SETTLED_S
        while True:
            is_last = time.monotonic() > end
            try:
                root = self.door.client("root", self.users["root"])
                missing = lost(inserts, keys_there(root, first, count))
                if not missing or is_last:
                    return missing
            except MilvusException:
                if is_last:
                    raise
            time.sleep(1)


def quiet(history: History) -> bool:
    """Whether both kinds of requests were answered right for a while."""
    now = history.now()
    return now > QUIET_S and all(is_quiet(history.of(k), now, QUIET_S) for k in KINDS)


def measure(
    tier: Tier, load: Load, names: Sequence[str], rounds: int, label: str
) -> dict[str, Gaps]:
    """Return what each event cost with the configuration that is there."""
    folder = ROOT / ".cache" / "knowledge"
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Gaps] = {}
    for name in names:
        seen = []
        for number in range(rounds):
            tier.settle()
            file = folder / f"gap-{label}-{name.replace(' ', '-')}-{number}.jsonl"
            with event(name, tier) as strike:
                asked = load.asked(strike, file)
            if name == HOST:
                tier.settle()  # by the defaults nobody answers before: lost is what is so now
            seen.append(load.gaps(asked))
            for kind, gap in seen[-1].items():
                sys.stderr.write(f"{label}: {name}: {kind}: {gap}\n")
        found[name] = together(seen)
    return found


def gap_tables(site: Path, *, rounds: int = 1, loses_host: bool = False) -> tuple[Table, Table]:
    """Return what was tuned, and what each event cost with it and without it; lab."""
    tier = Tier.of(site)
    names = [*UNITS, *([HOST] if loses_host else [])]
    again = [sys.executable, "-m", "tests.bench.knowledge_gaps", "--restore"]
    with ended_by_signals():
        restore(tier.members)  # what a run that was killed has left would be measured as ours
        tier.await_whole()
        load = Load.of(tier, site)
        ours = measure(tier, load, names, rounds, "ours")
        with (
            outlived_by(again),
            defaults_on(tier.members, tier.etcd, tier.environment) as tuned,
        ):
            defaults = measure(replace(tier, is_ours=False), load, names, rounds, "defaults")
        if loses_host:
            tier.regain()  # what was switched on by hand is where its record has it
        tier.settle()
    found = {name: (ours[name], defaults[name]) for name in names}
    return settings_table(tuned), gap_table(found, rounds)


def main() -> int:
    """Measure and print, or bring the members back."""
    parser = argparse.ArgumentParser(prog="tests.bench.knowledge_gaps", description=__doc__)
    parser.add_argument("--restore", action="store_true", help="only bring the members back")
    parser.add_argument("--rounds", type=int, default=1, help="of each event")
    parser.add_argument("--host-lost", action="store_true", help="lose a host as well")
    given = parser.parse_args()
    site = named_site()
    if given.restore:
        restore(Tier.of(site).members)
        return 0
    try:
        for table in gap_tables(site, rounds=given.rounds, loses_host=given.host_lost):
            Console(width=160).print(table)
    except KeyboardInterrupt:
        sys.stderr.write("broken off; the members are brought back\n")
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
