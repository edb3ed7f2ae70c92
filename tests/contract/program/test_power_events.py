"""What the reboot gate says of each kind of change, and what vCenter's power events say after.

The engine, the program and vCenter are real; nothing runs in the VMs. So the replicas are
declared drained by a person: the hooks then have nothing to wait for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from lab.provider.vsphere import vim
from permafrost.adapters.pulumi_stack.environment import CHECKOUT
from permafrost.engine.state import DeclaredState
from permafrost.planning.drift import find_drift
from permafrost.planning.drift_report import DriftCode
from permafrost.planning.ownership import attributes_of, category_name, tag_name
from permafrost.planning.reboot import Effect, verdict_of_change
from permafrost.topology import nodes
from tests.contract.program.conftest import Program
from tests.contract.vsphere.person import Person

VM = "vsphere:index/virtualMachine:VirtualMachine"
CHAT = ("lab-chat-01", "lab-chat-02")
EDGE = "lab-edge-01"
ALL = (*CHAT, EDGE)
KNOWLEDGE = ("lab-knowledge-01", "lab-knowledge-02", "lab-knowledge-03")
LAB_KNOWLEDGE = CHECKOUT / "sites" / "lab-knowledge.yaml"
Values = dict[str, Any]
HAPPENS = {
    Effect.POWER_CYCLED: ["off", "on"],
    Effect.REPLACED: ["off", "destroy", "on"],
    Effect.MOVED: [],
    Effect.UNTOUCHED: [],
}


class Watched:
    """One site; each step is foretold by the gate and compared with what happened."""

    def __init__(
        self, program: Program, names: tuple[str, ...] = ALL, exclude: tuple[str, ...] = ()
    ) -> None:
        self.program, self.names, self.exclude = program, names, exclude
        program.up(*exclude)
        for name in CHAT:
            program.store.declare(name, DeclaredState.DRAINED, owner="operator:test")
        self.person = Person(program.vcenter, program.loaded.site, "esx-{}")

    def lines(self) -> list[str]:
        return self.program.vcenter.events_file.read_text().splitlines()

    def step(
        self, edit: Callable[[Values], None], foretold: dict[str, Effect], *options: str
    ) -> None:
        """Change the site file, ask the gate, bring it up, and compare."""
        self.program.rewrite(edit)
        changes = self.program.stack.preview(refresh="--refresh" in options)
        seen = self.program.observe()
        said = {c.name: verdict_of_change(seen, c).effect for c in changes if c.type == VM}
        wanted = dict.fromkeys(self.names, Effect.UNTOUCHED) | foretold
        assert {name: said.get(name, Effect.UNTOUCHED) for name in self.names} == wanted
        before = len(self.lines())
        self.program.up(*options, *self.exclude)
        happened: dict[str, list[str]] = {name: [] for name in self.names}
        for line in self.lines()[before:]:
            verb, name = line.split()
            happened[name].append("off" if verb == "shutdown" else verb)
        assert happened == {name: HAPPENS[effect] for name, effect in wanted.items()}
        left = [c for c in self.program.stack.preview() if "Convergence" not in c.type]
        assert left == [], "nothing is left to do"


def of_chat(key: str, **more: Any) -> Callable[[Values], None]:
    def edit(values: Values) -> None:
        values["inference"]["chat"].setdefault(key, {}).update(more)

    return edit


def nothing(_: Values) -> None:
    pass


@pytest.mark.soak
def test_the_gate_and_the_power_events_agree_on_every_kind_of_change(program: Program) -> None:
    site = Watched(program)
    cycled = dict.fromkeys(CHAT, Effect.POWER_CYCLED)
    site.step(of_chat("vm", cpus=4, memory_mib=9216, disk_gib=40), cycled)
    site.step(of_chat("gpu", mmio_gib=512), cycled)
    site.step(of_chat("vm", cpus=6, memory_mib=9216, disk_gib=40), cycled)
    site.step(of_chat("vm", cpus=6, memory_mib=9216, disk_gib=45), {})

    def folder(values: Values) -> None:
        values["vcenter"]["folder"] = "permafrost-two"

    site.step(folder, {})
    assert site.person.vm(CHAT[0]).parent.name == "permafrost-two"

    site.person.reserve(CHAT[0], 1024)
    site.step(nothing, {}, "--refresh")
    vm = program.observe().vm(CHAT[0])
    assert vm is not None
    assert vm.is_fully_reserved

    before = site.lines()
    site.person.untag(CHAT[0], "chat")
    site.person.set_attribute(CHAT[0], "permafrost-lab-role", "somebody's")
    node = next(n for n in nodes(program.loaded.site) if n.name == CHAT[0])
    loaded = program.loaded.site
    program.hypervisor.mark(
        CHAT[0],
        category=category_name(loaded),
        tag=tag_name(loaded, node),
        attributes=attributes_of(loaded, node),
    )
    assert site.lines() == before
    assert not any(d.code is DriftCode.OWNER_UNMARKED for d in drift(program))


@pytest.mark.soak
def test_another_template_replaces_each_vm_delete_first(program: Program) -> None:
    site = Watched(program)
    old = site.person.find(vim.VirtualMachine, "template-linux")
    pool = site.person.find(vim.ClusterComputeResource, "DC0_C0").resourcePool
    place = vim.vm.RelocateSpec(pool=pool)
    spec = vim.vm.CloneSpec(location=place, template=True, powerOn=False)
    site.person._op.wait(old.CloneVM_Task(old.parent, "template-two", spec))

    def template(values: Values) -> None:
        values["vcenter"]["template"] = "template-two"

    site.step(template, dict.fromkeys(ALL, Effect.REPLACED))


@pytest.mark.soak
def test_a_disk_of_data_grows_while_its_vm_runs(program: Program) -> None:
    """Knowledge members have one; of inference VMs the one disk is the system's."""

    def tier(values: Values) -> None:
        milvus = yaml.safe_load(LAB_KNOWLEDGE.read_text())["knowledge"]["milvus"]
        milvus["images"] = {part: f"images/{part}@sha256:{'e' * 64}" for part in milvus["images"]}
        values["knowledge"] = {"milvus": {**milvus, "access": {}}}

    def grown(values: Values) -> None:
        values["knowledge"]["milvus"]["data_disk_gib"] += 5

    program.rewrite(tier)
    site = Watched(program, (*ALL, *KNOWLEDGE), ("--exclude=**:ClusterConvergence::**",))
    site.step(grown, {})
    vm = site.person.vm(KNOWLEDGE[0])
    disks = [d for d in vm.config.hardware.device if isinstance(d, vim.vm.device.VirtualDisk)]
    assert [d.capacityInKB >> 20 for d in disks][1] == 45


def drift(program: Program) -> tuple[Any, ...]:
    site = program.loaded.site
    return find_drift(
        site,
        program.observe(),
        recorded=program.store.placement(),
        tagged=program.hypervisor.tagged(category_name(site)),
    )
