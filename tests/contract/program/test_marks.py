"""Marks, overrides and rules of racks, made by a typed `pulumi up` and mended by another."""

from __future__ import annotations

from typing import Any

import pytest

from permafrost.planning.drift import find_drift
from permafrost.planning.drift_report import DriftCode
from permafrost.planning.ownership import attributes_of, category_name, tag_name
from permafrost.topology import nodes
from tests.contract.program.conftest import Program
from tests.contract.vsphere.person import Person

ONE, EDGE = "lab-chat-01", "lab-edge-02"
RACKS = {"esx-0": "a", "esx-1": "b", "esx-2": "a", "esx-3": "b"}
OTHERS_NOTE = ("backed-up", "last night")


def in_racks(values: dict[str, Any]) -> None:
    values["failure_domains"] = {"level": "rack"}
    values["hosts"] = {host: {"rack": rack} for host, rack in RACKS.items()}
    values["edge"] = {"nodes": 2, "vip": "10.64.1.10", "vrrp_id": 51}


def codes(program: Program) -> set[DriftCode]:
    found = find_drift(
        program.loaded.site,
        program.observe(),
        recorded=program.store.placement(),
        tagged=program.hypervisor.tagged(category_name(program.loaded.site)),
    )
    return {d.code for d in found}


@pytest.mark.soak
def test_what_sets_vms_apart_is_made_kept_and_mended_and_no_vm_is_touched(
    program: Program,
) -> None:
    program.rewrite(in_racks)
    program.up()
    assert codes(program) == set(), "what the program makes is no drift"
    rules = {r.name: r for r in program.observe().rules}
    assert rules["keep-edges-in-lab-a"].hosts == {"esx-0", "esx-2"}
    assert rules["keep-edges-in-lab-b"].vms == {EDGE}
    power = program.vcenter.power_events()

    person = Person(program.vcenter, program.loaded.site, "esx-{}")
    person.others_mark(ONE, *OTHERS_NOTE)
    person.drop_overrides(ONE)
    person.keep_edges_on_hosts("edit", "lab-b", [EDGE], [1, 2, 3], enabled=False)
    assert codes(program) == {
        DriftCode.DRS_OVERRIDE,
        DriftCode.HA_OVERRIDE,
        DriftCode.RULE_DISABLED,
        DriftCode.RULE_MEMBERS,
    }
    program.up("--refresh")
    assert codes(program) == set()
    assert OTHERS_NOTE in _vm(program, ONE).attributes, "what others put on a VM stays"
    assert person.others_tag_on(ONE)

    person.set_attribute(ONE, "permafrost-lab-role", "somebody's")
    person.untag(ONE, "chat")
    assert codes(program) == {DriftCode.OWNER_UNMARKED}
    node = next(n for n in nodes(program.loaded.site) if n.name == ONE)
    program.hypervisor.mark(
        ONE,
        category=category_name(program.loaded.site),
        tag=tag_name(program.loaded.site, node),
        attributes=attributes_of(program.loaded.site, node),
    )
    assert codes(program) == set()
    assert person.others_tag_on(ONE)
    left = [c for c in program.stack.preview(refresh=True) if "Convergence" not in c.type]
    assert left == []
    assert program.vcenter.power_events() == power, "no VM was power-cycled or moved"


def _vm(program: Program, name: str) -> Any:
    found = program.observe().vm(name)
    assert found is not None
    return found
