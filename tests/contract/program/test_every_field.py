"""Each field of the site file that reaches a VM, changed at vCenter: what the gate lists happens.

Which fields those are, and what each comes to, stands in tests/infra/no_surprise.json. Here the
engine, the program, the provider and vCenter are real, and vCenter's power events are the judge.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from permafrost.adapters.pulumi_stack.environment import CHECKOUT
from permafrost.planning.reboot import Effect
from tests.contract.program.conftest import Program
from tests.contract.program.test_power_events import ALL, CHAT, EDGE, Values, Watched

GOLDEN = CHECKOUT / "tests/infra/no_surprise.json"
EDGES = (EDGE,)
FIELDS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "inference.assistant.vm.cpus": (6, CHAT),
    "inference.assistant.vm.memory_mib": (12288, CHAT),
    "inference.assistant.vm.disk_gib": (60, CHAT),
    "inference.assistant.gpu.mmio_gib": (512, CHAT),
    "edge.vm.cpus": (3, EDGES),
    "edge.vm.memory_mib": (3072, EDGES),
    "edge.vm.disk_gib": (50, EDGES),
    "network.port_group": ("DC0_DVPG1", ALL),
    "vcenter.network": ("DC0_DVPG1", ALL),
    "vcenter.folder": ("permafrost-two", ALL),
    "vcenter.resource_pool": ("permafrost-two", ALL),
    "vcenter.datastore": ("LocalDS_1", ALL),
    "storage.inference": ("LocalDS_0", CHAT),
    "storage.edge": ("LocalDS_0", EDGES),
}
"""Another value of each, and the VMs that it reaches."""
ELSEWHERE = {
    "vcenter.server": "another site",
    "vcenter.datacenter": "another site",
    "vcenter.cluster": "another site",
    "vcenter.template": "test_another_template_replaces_each_vm_delete_first",
    "inference.assistant.gpu.count": "the recorded placement: a typed `up` changes no device",
}
"""Why not here."""
SAME = {"network.port_group"}
"""What comes to the same as another field that was changed before: nothing is left to do."""


def golden() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(GOLDEN.read_text())["small"]
    return found


def effect_of(field: str) -> Effect:
    """Return what the golden says of a field."""
    (said,) = golden()[field]
    return Effect(said.partition(" by ")[0])


def test_every_field_that_reaches_a_vm_is_changed() -> None:
    reaching = {field for field, said in golden().items() if any(" by " in s for s in said)}
    assert reaching == FIELDS.keys() | ELSEWHERE.keys()


def put(field: str, value: Any) -> Callable[[Values], None]:
    def edit(values: Values) -> None:
        *parents, last = field.replace("assistant", "chat").split(".")
        here = values
        for key in parents:
            here = here.setdefault(key, {})
        here[last] = value

    return edit


GROUPS = {
    "sizes": [f for f in FIELDS if f.startswith(("inference.", "edge."))],
    "network and folder": ["vcenter.network", "vcenter.folder"],
    "pool": ["vcenter.resource_pool"],
    "storage": ["vcenter.datastore", "storage.inference", "storage.edge"],
}


def test_no_field_is_left_out() -> None:
    assert {f for fields in GROUPS.values() for f in fields} | SAME == FIELDS.keys()


@pytest.mark.soak
@pytest.mark.parametrize("group", GROUPS)
def test_no_power_event_that_the_gate_did_not_list(program: Program, group: str) -> None:
    site = Watched(program)
    for field in GROUPS[group]:
        value, reached = FIELDS[field]
        site.step(put(field, value), dict.fromkeys(reached, effect_of(field)))


@pytest.mark.soak
def test_an_event_that_the_gate_did_not_list_is_caught(program: Program) -> None:
    """The control: somebody power-cycles a VM while an `up` changes a folder."""
    site = Watched(program)
    up = program.up

    def with_a_hand(*options: str) -> Any:
        done = up(*options)
        site.person.power_off(EDGE)
        site.person.power_on(EDGE)
        return done

    program.up = with_a_hand  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="'off', 'on'"):
        site.step(put("vcenter.folder", "permafrost-two"), {})
