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
        person.keep_edges_on_hosts("add", RULE.format(rack=rack), [edge], list(hosts))
        slots[edge] = Slot(person.host_name(hosts[0]), "")
    person.edges_apart()
    return Placement(slots)


def codes(person: ByHand, recorded: Placement) -> set[DriftCode]:
    seen = find_drift(person.site, person.hypervisor.observe(), recorded=recorded)
    return {d.code for d in seen} - {DriftCode.OWNER_UNMARKED}


def outside(person: ByHand) -> None:
    """The edge is moved, which its rule does not forbid; vCenter moves nothing back by itself."""
    person.drs(defaultVmBehavior="manual")
    person.move(EDGES[0], 3)


def outside_of_a_rack_that_is_away(person: ByHand) -> None:
    """All of the rack goes into maintenance: the edge has to be elsewhere."""
    outside(person)
    for host in RACKS["a"]:
        person.enter_maintenance(host)


DEEDS: dict[str, tuple[Callable[[ByHand], None], set[DriftCode]]] = {
    "nothing": (lambda _: None, set()),
    "a move inside of the rack": (lambda p: p.move(EDGES[0], 1), set()),
    "stricter than ours": (
        lambda p: p.keep_edges_on_hosts("edit", "lab-a", [EDGES[0]], [0, 1], mandatory=True),
        set(),
    ),
    "disabled": (
        lambda p: p.keep_edges_on_hosts("edit", "lab-a", [EDGES[0]], [0, 1], enabled=False),
        {DriftCode.RULE_DISABLED},
    ),
    "a host more": (
        lambda p: p.keep_edges_on_hosts("edit", "lab-a", [EDGES[0]], [0, 1, 2]),
        {DriftCode.RULE_MEMBERS},
    ),
    "without its VM": (
        lambda p: p.keep_edges_on_hosts("edit", "lab-a", [], [0, 1]),
        {DriftCode.RULE_MEMBERS},
    ),
    "in another rack": (outside, {DriftCode.OUTSIDE_DOMAIN}),
    "in another rack, its own is away": (outside_of_a_rack_that_is_away, set()),
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


def test_a_rule_of_others_holds_a_vm_in_its_rack(person: ByHand, racks: Placement) -> None:
    """What keeps members of the knowledge tier in theirs; edges may leave (above)."""
    person.keep_on_hosts("add", "lab-members", [EDGES[0]], list(RACKS["a"]))
    with pytest.raises(ProviderError, match="affinity"):
        person.move(EDGES[0], 3)
    # The control: inside of the rack, and without the rule, the same move is made.
    person.move(EDGES[0], 1)
    person.keep_on_hosts("edit", "lab-members", [EDGES[0]], list(RACKS["a"]), enabled=False)
    person.move(EDGES[0], 3)
