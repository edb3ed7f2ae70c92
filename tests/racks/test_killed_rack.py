"""A rack's maintenance killed (-9) at every kind of step, on its way in and out, under load.

After the last step of a kind, the second host's: taken back. Before each kind in turn: finished.
No request is lost, no edge ever has fewer than ``min_ready`` replicas, and each case ends in a
safe state: everything where it stood and ready, or the rack, whole and alone, away. Both judges
have their control: what the kill leaves is neither.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import endpoint
from tests.acceptance.driver import Cli, losses, traffic, vcenter
from tests.acceptance.killing import killed, killed_in_turn, recover
from tests.acceptance.kills import RACK
from tests.acceptance.rotation import watched
from tests.acceptance.test_maintenance import bring_back
from tests.racks.standing import RACKS, Standing, recorded, stand, unfinished

pytestmark = pytest.mark.soak

Case = tuple[str, str, tuple[str, ...]]
RECOVERIES = {"before": "resume", "after": "abort"}
AT_MOST_S, COMMAND_S = 900, 600
WHOLE = "rack-a"
"""The rack that is killed at every kind of step."""
EDGES = {"rack-a": "lab-edge-01", "rack-b": "lab-edge-02"}
UNDER = {"pulse": 30.0, "chat": 0.3}
"""Requests per second."""


def cases() -> list[Case]:
    """Every kind of step twice, in an order in which a case mostly begins where the last ended."""
    return [
        (verb, when, kinds)
        for verb, each in RACK.items()
        for when, kinds in [*(("after", (kind,)) for kind in each), ("before", tuple(each))]
    ]


def called(case: Case) -> str:
    """Return what a case is called."""
    verb, when, kinds = case
    return f"{verb}-{when}-{kinds[0] if len(kinds) == 1 else 'each'}"


@pytest.fixture
def healthy() -> None:
    """A case may begin with the rack away: each sees to what it needs itself."""


@pytest.fixture(scope="module")
def standing(permafrost: Cli, lab: Cli) -> Iterator[Standing]:
    """The site before the first case; after the last one it is so again."""
    with vcenter(lab.json("status")) as vsphere:
        bring_back(permafrost, COMMAND_S)
        found = Standing.of(permafrost, vsphere)
        yield found
        bring_back(permafrost, COMMAND_S)
        for edge in EDGES.values():
            stand(vsphere, edge, found.hosts[edge])
        assert found.missing_back() == []


def with_edge_on(standing: Standing, rack: str, host: str) -> Standing:
    """Have the edge of a rack stand on that host of it, where nobody is away; return how it is."""
    if rack not in EDGES:
        return standing
    if not recorded(standing.permafrost):
        stand(standing.vsphere, EDGES[rack], host)
    return replace(standing, hosts={**standing.hosts, EDGES[rack]: host})


def brought(permafrost: Cli, rack: str, *, is_away: bool) -> None:
    """See to it that a rack is in maintenance, or that none is; take back what is unfinished."""
    if unfinished(permafrost):
        bring_back(permafrost, COMMAND_S)
    if bool(recorded(permafrost)) != is_away:
        verb = "enter" if is_away else "exit"
        permafrost.run("maintenance", verb, rack, "--yes", timeout=COMMAND_S)


def last_of(permafrost: Cli, verb: str, rack: str, kind: str) -> str:
    """Return the number of the last step of a kind: of two hosts, the second one's."""
    plan = permafrost.json("maintenance", verb, rack, "--plan-only")
    return str(next(s["id"] for s in reversed(plan["steps"]) if s["kind"] == kind))


@contextmanager
def unnoticed(
    lab: Cli, on: Callable[[str], Any], document: dict[str, Any], folder: Path, *names: str
) -> Iterator[None]:
    """Ask endpoints all the while: nothing is lost, and each edge has ``min_ready`` of each."""
    found = {name: endpoint(document, name) for name in names}
    with (
        watched(on, *(f"{n}_{e['slot']}" for n, e in found.items())) as rotation,
        ExitStack() as stack,
    ):
        loads = [
            stack.enter_context(
                traffic(lab, name, UNDER[name], AT_MOST_S, 0.5, folder / f"{name}.jsonl")
            )
            for name in names
        ]
        for load in loads:
            load.await_steady()
        began = time.time()
        yield
        over = time.time()
        for load in loads:
            load.end()
        summaries = [load.finish() for load in loads]
    assert [losses(s) for s in summaries] == [(0, 0, 0)] * len(names), summaries
    assert all(s["duplicated"] == 0 for s in summaries), summaries
    for name, each in found.items():
        fewest = rotation.fewest_up(began, over, f"lab-{name}-")
        assert min(fewest.values()) >= each["min_ready"], (name, fewest)


@pytest.mark.parametrize(
    ("verb", "when", "kinds"), [pytest.param(*case, id=called(case)) for case in cases()]
)
def test_killed_and_recovered(
    verb: str,
    when: str,
    kinds: tuple[str, ...],
    standing: Standing,
    lab: Cli,
    on: Callable[[str], Any],
    tmp_path: Path,
) -> None:
    """The edge stands on the second host: DRS brings it to the first, and the rest is ours."""
    permafrost = standing.permafrost
    stood = with_edge_on(standing, WHOLE, RACKS[WHOLE][1])
    brought(permafrost, WHOLE, is_away=verb == "exit")
    command, asked = f"maintenance-{verb}", ("maintenance", verb, WHOLE, "--yes")
    with unnoticed(lab, on, permafrost.json("status"), tmp_path, "pulse"):
        if when == "before":
            operation = killed_in_turn(permafrost, command, kinds, when, *asked)
        else:
            at = f"{command}:{last_of(permafrost, verb, WHOLE, kinds[0])}:{when}"
            operation = killed(permafrost, at, *asked)
        recover(permafrost, RECOVERIES[when], operation)
    is_away = (verb == "enter") == (when == "before")
    assert (stood.missing_away(WHOLE) if is_away else stood.missing_back()) == []


@pytest.mark.parametrize(
    ("rack", "when", "way_on", "out_at"),
    [
        ("rack-a", "before", "resume", "exit-maintenance-mode"),
        ("rack-b", "after", "enter", "forget-maintenance"),
        ("rack-c", "before", "abort", ""),
    ],
)
def test_killed_as_the_second_host_goes_and_as_it_comes_back(
    rack: str,
    when: str,
    way_on: str,
    out_at: str,
    standing: Standing,
    lab: Cli,
    on: Callable[[str], Any],
    tmp_path: Path,
) -> None:
    """Finished, begun again, or taken back; then out, killed there too, and out once more."""
    permafrost = standing.permafrost
    brought(permafrost, rack, is_away=False)
    stood = with_edge_on(standing, rack, RACKS[rack][0])
    asked = ("maintenance", "enter", rack, "--yes")
    with unnoticed(lab, on, permafrost.json("status"), tmp_path, "pulse", "chat"):
        at = last_of(permafrost, "enter", rack, "enter-maintenance-mode")
        operation = killed(permafrost, f"maintenance-enter:{at}:{when}", *asked)
        assert f"{RACKS[rack][0]} is in maintenance mode" in stood.missing_back()
        assert f"{operation} is paused" in stood.missing_away(rack)
        refused = permafrost.run(
            "maintenance", "exit", rack, "--yes", "--output", "json", expect=3
        ).stderr
        assert {p["code"] for p in json.loads(refused)} == {"OPERATION_UNFINISHED"}
        if way_on == "enter":
            permafrost.run(*asked, timeout=COMMAND_S)
        else:
            recover(permafrost, way_on, operation)
        if out_at:
            assert stood.missing_away(rack) == []
            at = last_of(permafrost, "exit", rack, out_at)
            out = ("maintenance", "exit", rack, "--yes")
            operation = killed(permafrost, f"maintenance-exit:{at}:{when}", *out)
            assert f"{operation} is paused" in stood.missing_back()
            permafrost.run(*out, timeout=COMMAND_S)
    assert stood.missing_back() == []
    assert permafrost.json("receipt", "verify")["problems"] == []
    assert permafrost.json("plan")["steps"] == []
