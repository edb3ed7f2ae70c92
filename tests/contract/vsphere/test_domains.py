"""Racks: what the rules promise, what a person changes of them, what vCenter then refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.provider.errors import ProviderError
from permafrost.planning.drift import find_drift
from permafrost.planning.drift_report import DriftCode
from permafrost.planning.placement import Placement, Slot
from permafrost.site.model import Site
from tests.contract.vsphere.byhand import ByHand
from tests.fakes.site import document

EDGES = ("lab-edge-01", "lab-edge-02")
RACKS = {"a": (0, 1), "b": (2, 3)}
RULE = "lab-{rack}"


@pytest.fixture
def person(vcenter_program: Path, tmp_path: Path) -> Iterator[ByHand]:
    with ByHand(vcenter_program, tmp_path, hosts="esx-{}") as somebody:
        yield somebody


@pytest.fixture
def racks(person: ByHand) -> Placement:
    """Two edges, one in each of two racks of two hosts, with the rules of a deployment."""
    values = document()
    values["failure_domains"] = {"level": "rack", "members_per_domain": 2}
    values["hosts"] = {
        person.host_name(i): {"rack": rack} for rack, hosts in RACKS.items() for i in hosts
    }
    values["edge"] = {"nodes": 2, "vip": "10.64.1.10", "vrrp_id": 51}
    person.site = Site.model_validate(values)
    slots = {}
    for edge, (rack, hosts) in zip(EDGES, RACKS.items(), strict=True):
        person.make(edge, hosts[0], reserved_mib=0)
        person.power_on(edge)
        person.keep_on_hosts("add", RULE.format(rack=rack), [edge], list(hosts))
        slots[edge] = Slot(person.host_name(hosts[0]), "")
    person.edges_apart()
    return Placement(slots)


def codes(person: ByHand, recorded: Placement) -> set[DriftCode]:
    seen = find_drift(person.site, person.hypervisor.observe(), recorded=recorded)
    return {d.code for d in seen} - {DriftCode.OWNER_UNMARKED}


def outside(person: ByHand) -> None:
    """The rule is relaxed, the edge moved, the rule put back: vCenter moves nothing by itself."""
    person.drs(defaultVmBehavior="manual")
    person.keep_on_hosts("edit", RULE.format(rack="a"), [EDGES[0]], [0, 1], enabled=False)
    person.move(EDGES[0], 3)
    person.keep_on_hosts("edit", RULE.format(rack="a"), [EDGES[0]], [0, 1])


DEEDS: dict[str, tuple[Callable[[ByHand], None], set[DriftCode]]] = {
    "nothing": (lambda _: None, set()),
    "a move inside of the rack": (lambda p: p.move(EDGES[0], 1), set()),
    "a preference": (
        lambda p: p.keep_on_hosts("edit", "lab-a", [EDGES[0]], [0, 1], mandatory=False),
        {DriftCode.RULE_NOT_MANDATORY},
    ),
    "disabled": (
        lambda p: p.keep_on_hosts("edit", "lab-a", [EDGES[0]], [0, 1], enabled=False),
        {DriftCode.RULE_DISABLED},
    ),
    "a host more": (
        lambda p: p.keep_on_hosts("edit", "lab-a", [EDGES[0]], [0, 1, 2]),
        {DriftCode.RULE_MEMBERS},
    ),
    "without its VM": (
        lambda p: p.keep_on_hosts("edit", "lab-a", [], [0, 1]),
        {DriftCode.RULE_MEMBERS},
    ),
    "in another rack": (outside, {DriftCode.OUTSIDE_DOMAIN}),
}


@pytest.mark.exhaustive(3)
@pytest.mark.parametrize("name", DEEDS)
def test_what_a_person_does_to_a_rack_is_reported(
    person: ByHand, racks: Placement, name: str
) -> None:
    assert codes(person, racks) == set()
    deed, wanted = DEEDS[name]
    deed(person)
    assert codes(person, racks) == wanted


def test_the_rule_holds_an_edge_in_its_rack(person: ByHand, racks: Placement) -> None:
    with pytest.raises(ProviderError, match="affinity"):
        person.move(EDGES[0], 3)
    # The control: inside of the rack, and without the rule, the same move is made.
    person.move(EDGES[0], 1)
    person.keep_on_hosts("edit", "lab-a", [EDGES[0]], [0, 1], enabled=False)
    person.move(EDGES[0], 3)
