"""What ``doctor`` says of the nodes' clocks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from permafrost.facts import ClockFacts
from permafrost.planning.snapshot import Inventory
from permafrost.runbook.doctor_time import MOST_OFF_S, clock_findings, is_off, nodes_on
from permafrost.runbook.findings import Finding, Level
from permafrost.site.model import Site
from permafrost.topology import nodes
from tests.fakes.hypervisor import FakeHypervisor
from tests.fakes.site import document, small_site
from tests.fakes.world import World

GOOD = ClockFacts(0.002, 0.001, has_keeper=True, follows="10.64.1.2")


def timed_site(environment: str = "hardware") -> Site:
    values = document()
    values["environment"] = environment
    values["network"]["time_servers"] = ["10.64.1.2", "10.64.1.3"]
    return Site.model_validate(values)


def seen(site: Site, **clocks: ClockFacts | None) -> dict[str, Finding]:
    """Return the findings when every node's clock is good but those given, by node."""
    all_of_them: dict[str, ClockFacts | None] = {n.name: GOOD for n in nodes(site)}
    given = {name.replace("_", "-"): clock for name, clock in clocks.items()}
    assert given.keys() <= all_of_them.keys()
    return {f.name: f for f in clock_findings(site, all_of_them | given)}


def test_clocks_that_are_right_are_told_in_one_line() -> None:
    found = seen(timed_site())
    assert set(found) == {"clocks"}
    assert found["clocks"].level is Level.OK
    assert "following 10.64.1.2" in found["clocks"].detail


def test_a_lab_has_one_clock_and_says_so() -> None:
    assert seen(timed_site("lab"))["clocks"].level is Level.STAND_IN


@pytest.mark.parametrize(("offset", "way"), [(3.0, "3.0 s ahead"), (-70.0, "70.0 s behind")])
def test_a_clock_that_is_off_is_named_with_how_far(offset: float, way: str) -> None:
    found = seen(timed_site(), lab_chat_01=replace(GOOD, offset_s=offset))
    assert found["clock of lab-chat-01"].level is Level.PROBLEM
    assert way in found["clock of lab-chat-01"].detail
    assert "all nodes alike" not in found["clock of lab-chat-01"].detail
    assert found["clocks"].level is not Level.PROBLEM


def test_a_slow_answer_blames_nobody() -> None:
    assert is_off(ClockFacts(MOST_OFF_S + 0.5, 0.4))
    assert not is_off(ClockFacts(MOST_OFF_S + 0.5, 0.6))
    assert not is_off(ClockFacts(MOST_OFF_S, 0))


def test_all_off_alike_is_this_machines_clock_first() -> None:
    site = timed_site()
    late = {n.name: replace(GOOD, offset_s=90 + i) for i, n in enumerate(nodes(site))}
    found = list(clock_findings(site, late))
    assert len(found) == len(late)
    assert all("this machine's own clock first" in f.detail for f in found)
    first = next(iter(late))
    late[first] = replace(GOOD, offset_s=-90)
    assert not any("own clock" in f.detail for f in clock_findings(site, late))


def test_named_servers_that_nobody_follows() -> None:
    found = seen(
        timed_site(),
        lab_chat_01=replace(GOOD, follows=""),
        lab_chat_02=ClockFacts(0.0, 0.001),
    )
    assert "follows none of 10.64.1.2, 10.64.1.3" in found["clock of lab-chat-01"].detail
    assert "permafrost converge lab-chat-02" in found["clock of lab-chat-02"].detail


def test_without_servers_the_template_keeps_the_clock_and_only_its_offset_counts() -> None:
    site = small_site()
    found = seen(site, lab_chat_01=ClockFacts(5.0, 0.01), lab_chat_02=ClockFacts(0.0, 0.01))
    assert set(found) == {"clock of lab-chat-01", "clocks"}
    assert "name `time_servers`" in found["clock of lab-chat-01"].detail
    assert "their template keeps the clock" in found["clocks"].detail


def test_a_node_that_does_not_answer_is_no_right_clock() -> None:
    found = seen(timed_site(), lab_chat_01=None)
    assert found["clocks not read"].level is Level.PROBLEM
    assert "lab-chat-01" in found["clocks not read"].detail


def test_only_nodes_that_run_are_asked() -> None:
    site = small_site()
    world = World.of(site)
    inventory = FakeHypervisor(world).observe()
    assert nodes_on(site, Inventory()) == ()
    assert list(clock_findings(site, {})) == []
    off, *rest = inventory.vms
    stopped = replace(inventory, vms=(replace(off, is_on=False), *rest))
    assert {n.name for n in nodes_on(site, stopped)} == {vm.name for vm in rest if vm.is_on}
