"""An edge is reloaded, restarted, killed; a drain outlives all of it.

A reload costs nothing, and no more does a restart, of the edge without the clients' address and of
the one that has it: it passes new connections on and ends what it has before the address moves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import endpoint, replica_state
from tests.acceptance.driver import Cli, Traffic, traffic, wait_until
from tests.acceptance.edges import Status, await_new_answers, holder, other, reload
from tests.acceptance.history import LOSSLESS, counted, losses, lost, lost_anew, under_way
from tests.acceptance.rotation import EDGES

pytestmark = pytest.mark.soak
On = Callable[[str], Any]
Note = Callable[[str, object], None]
AT_MOST_S = 300
VICTIM = "lab-pulse-02"
VIP_COMMAND = "/usr/local/sbin/permafrost-vip"
SHORT = ("--interval-ms", "50", "--max-tokens", "4", "--fresh")


@pytest.mark.parametrize("edge", EDGES)
def test_a_reload_costs_nothing(
    edge: str, lab: Cli, on: On, tmp_path: Path, record_property: Note
) -> None:
    """Three in a row, under kept connections and new ones."""
    with ExitStack() as stack:
        kept = stack.enter_context(traffic(lab, "pulse", 35, AT_MOST_S, 0.5, tmp_path / "kept"))
        new = stack.enter_context(
            traffic(lab, "pulse", 25, AT_MOST_S, 0.5, tmp_path / "new", "--fresh")
        )
        for load in (kept, new):
            load.await_steady()
        for _ in range(3):
            kept.mark()
            new.mark()
            reload(on(edge))
            await_new_answers(new)
        for load in (kept, new):
            load.end()
        summaries = [load.finish() for load in (kept, new)]
    in_flight = [
        sum(s["in_flight_at"][at] for s, at in zip(summaries, ats, strict=True))
        for ats in zip(*(s["in_flight_at"] for s in summaries), strict=True)
    ]
    record_property("in_flight_at_reloads", in_flight)
    record_property("requests", [s["requests"] for s in summaries])
    assert [losses(s) for s in summaries] == [LOSSLESS] * 2, summaries
    assert min(in_flight) >= 150, in_flight


def test_a_restart_of_the_edge_without_the_address_costs_nothing(
    lab: Cli, on: On, status: Status, tmp_path: Path
) -> None:
    idle = other(holder(status))
    with traffic(lab, "pulse", 60, AT_MOST_S, 0.5, tmp_path / "load.jsonl", "--fresh") as load:
        load.await_steady()
        load.mark()
        on(idle).check_output("systemctl restart haproxy.service")
        await_new_answers(load)
        load.end()
        summary = load.finish()
    assert losses(summary) == LOSSLESS, summary
    assert holder(status) == other(idle)


@pytest.mark.parametrize(("new", "kept"), [(60, 0), (20, 20)])
def test_a_restart_of_the_edge_with_the_address_costs_nothing(
    new: int, kept: int, lab: Cli, on: On, status: Status, tmp_path: Path, record_property: Note
) -> None:
    """Neither what is connecting nor what is under way nor what is new is lost."""
    held = holder(status)
    with ExitStack() as stack:
        loads = [stack.enter_context(_under(lab, new, tmp_path / "new.jsonl", "--fresh"))]
        if kept:
            loads.append(stack.enter_context(_under(lab, kept, tmp_path / "kept.jsonl")))
        for load in loads:
            load.await_steady()
        before = time.time()
        on(held).check_output("systemctl restart haproxy.service")
        record_property("restart_took_s", round(time.time() - before, 2))
        for load in loads:
            await_new_answers(load, 120)
            load.end()
        summaries = [load.finish() for load in loads]
        records = [r for load in loads for r in load.records()]
    record_property("in_flight", counted(under_way(records, before)))
    assert [losses(s) for s in summaries] == [LOSSLESS] * len(loads), lost(records)[:9]
    assert under_way(records, before), "something was under way"
    assert holder(status) == other(held), "the address went to whom the clients were passed on"


def test_control_an_address_that_goes_at_once_cuts_what_is_under_way(
    lab: Cli, on: On, status: Status, tmp_path: Path, record_property: Note
) -> None:
    """Nobody is passed on, nothing is waited for: VRRP moves an address, not its connections."""
    held = holder(status)
    on(held).check_output(f"cp -p {VIP_COMMAND} {VIP_COMMAND}.kept")
    try:
        on(held).check_output(f"sed -i 's/^peers=.*/peers=()/' {VIP_COMMAND}")
        on(held).check_output(f"! cmp -s {VIP_COMMAND} {VIP_COMMAND}.kept")
        with _under(lab, 60, tmp_path / "load.jsonl", "--fresh") as load:
            load.await_steady()
            on(held).check_output("systemctl restart haproxy.service")
            await_new_answers(load, 120)
            load.end()
            load.finish()
            records = load.records()
    finally:
        on(held).check_output(f"mv {VIP_COMMAND}.kept {VIP_COMMAND}")
    record_property("lost", counted(lost(records)))
    assert len(lost(records)) >= 5


def _under(lab: Cli, rate: int, file: Path, *options: str) -> AbstractContextManager[Traffic]:
    return traffic(lab, "pulse", rate, AT_MOST_S, 0.5, file, *options)


def test_control_an_edge_that_is_killed_costs_new_requests(
    lab: Cli, status: Status, tmp_path: Path, record_property: Note
) -> None:
    """Without handing the address over first, whoever comes is turned away until it has moved."""
    held = holder(status)
    short = tmp_path / "short.jsonl"
    with traffic(lab, "pulse", 60, AT_MOST_S, 0.5, short, *SHORT) as load:
        load.await_steady()
        fault = lab.json("fault", "apply", "balancer-kill", held, "stay_down=yes")
        wait_until("the address has moved", lambda: holder(status) == other(held), 30)
        await_new_answers(load)
        load.end()
        load.finish()
        records = load.records()
    lab.run("fault", "heal", fault["id"])
    refused = lost_anew(records, float("inf"))
    record_property("new_requests_refused", len(refused))
    assert refused, "the checker sees what a plain kill costs"


def asked_of(lab: Cli, file: Path, seconds: float = 6) -> set[str]:
    """Return the replicas that answer a short load."""
    with traffic(lab, "pulse", 20, seconds, 0, file, *SHORT) as load:
        summary = load.finish()
    assert losses(summary) == LOSSLESS, summary
    return set(summary["replicas"])


def restart_both(on: On, status: Status) -> None:
    """Restart the edge without the address, then the one that has it; it moves."""
    held = holder(status)
    for edge in (other(held), held):
        on(edge).check_output("systemctl restart haproxy.service")
    wait_until("the address has moved", lambda: holder(status) == other(held), 30)


def test_a_drain_outlives_reloads_restarts_and_moves_of_the_address(
    permafrost: Cli, lab: Cli, on: On, status: Status, tmp_path: Path, record_property: Note
) -> None:
    permafrost.run("drain", VICTIM, "--yes")
    try:
        with traffic(lab, "pulse", 40, AT_MOST_S, 0, tmp_path / "load.jsonl", *SHORT) as load:
            load.await_steady()
            for edge in EDGES:
                reload(on(edge))
            restart_both(on, status)
            fault = lab.json("fault", "apply", "vip-move", holder(status))
            await_new_answers(load, 100)
            lab.run("fault", "heal", fault["id"])
            load.end()
            summary = load.finish()
        record_property("answers", summary["replicas"])
        assert set(summary["replicas"]) == {"lab-pulse-01", "lab-pulse-03"}
        assert replica_state(status(), VICTIM) == "DRAINED"
    finally:
        permafrost.run("undrain", VICTIM, "--yes")
    assert VICTIM in asked_of(lab, tmp_path / "after.jsonl")


def test_control_a_drain_at_runtime_alone_is_forgotten_by_a_restart(
    lab: Cli, on: On, status: Status, tmp_path: Path
) -> None:
    backend = f"pulse_{endpoint(status(), 'pulse')['slot']}"
    for edge in EDGES:
        told = f"set server {backend}/{VICTIM} state drain"
        on(edge).check_output(f"echo '{told}' | permafrost-haproxy")
    assert VICTIM not in asked_of(lab, tmp_path / "drained.jsonl")
    restart_both(on, status)
    wait_until(
        "it is asked again",
        lambda: VICTIM in asked_of(lab, tmp_path / f"{time.time()}.jsonl", 2),
        60,
    )
