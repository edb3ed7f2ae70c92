"""What each node of a world answers for: its two slots, and their probes."""

from __future__ import annotations

from collections.abc import Callable

from permafrost.errors import Failed, Problem
from permafrost.facts import NodeFacts, ProbeResult, SlotFacts
from tests.fakes.machine import Beside, Machine
from tests.fakes.world import AS_THE_ADAPTER, World, unreachable


class FakeModelServer:
    """``live_slot`` gives the slot that is recorded as the one that answers on a node."""

    def __init__(self, world: World, live_slot: Callable[[str], str] = lambda _: "a") -> None:
        self.world = world
        self.live_slot = live_slot

    def state(self, node: str) -> NodeFacts:
        # Nothing of the kind runs on edges and on members of the knowledge tier.
        if not self.world.works(node) or not any(r == node for _, r in self.world.edge_state):
            raise unreachable(node)
        machine, live = self.world.machines[node], self.live_slot(node)
        told: dict[str, SlotFacts] = {}
        for slot, at in (("a", machine), ("b", machine.beside)):
            state, checkpoint = self.world.slot_state(node, slot)
            if state and at is not None:
                told[slot] = SlotFacts(slot, state, checkpoint, checkpoint, len(at.requests))
        state, checkpoint = self.world.slot_state(node, live)
        busy = told[live].in_flight if live in told else 0
        return NodeFacts(node, state or "OUT", checkpoint, live, 0, busy, slots=told)

    def _with_room(self, node: str, slot: str, checkpoint: str) -> Machine:
        if not self.world.works(node):
            raise unreachable(node)
        machine = self.world.machines[node]
        state, had = self.world.slot_state(node, slot)
        if state and had != checkpoint:
            raise Failed(
                Problem("SLOT_TAKEN", f"slot {slot} is to load {had}", node, AS_THE_ADAPTER)
            )
        return machine

    def load(self, node: str, slot: str, checkpoint: str) -> None:
        machine = self._with_room(node, slot, checkpoint)
        self.world.effect(f"load-{slot}", node, lambda: _fill(machine, slot, checkpoint))

    def fetch(self, node: str, checkpoint: str) -> None:
        if not self.world.works(node):
            raise unreachable(node)
        self.world.effect("fetch", node, lambda: None)

    def exchange(self, node: str, slot: str, checkpoint: str) -> None:
        machine = self._with_room(node, slot, checkpoint)
        other = "a" if slot == "b" else "b"
        self.world.effect("empty-for-" + slot, node, lambda: _empty(machine, other))
        self.world.effect("exchange-" + slot, node, lambda: _fill(machine, slot, checkpoint))

    def unload(self, node: str, slot: str) -> None:
        if not self.world.works(node):
            raise unreachable(node)
        machine = self.world.machines[node]
        if self.world.slot_state(node, slot)[0]:
            self.world.effect(f"unload-{slot}", node, lambda: _empty(machine, slot))

    def probe(self, node: str, slot: str = "") -> ProbeResult:
        if not self.world.works(node):
            raise unreachable(node)
        machine = self.world.machines[node]
        if (slot or self.live_slot(node)) == "b":
            return self._probe_beside(node, machine)

        passes = machine.passes_probe and machine.checkpoint not in self.world.wrong

        def do() -> None:
            machine.state = "ADMITTED" if passes else "OUT"

        self.world.effect("probe", node, do)
        if not machine.has_first:
            return ProbeResult(node, False, "", "slot a is empty")
        detail = "" if passes else "token 3 differs"
        return ProbeResult(node, passes, machine.checkpoint, detail)

    def _probe_beside(self, node: str, machine: Machine) -> ProbeResult:
        beside = machine.beside
        if beside is None:
            return ProbeResult(node, False, "", "slot b is empty")
        passes = machine.passes_probe and beside.checkpoint not in self.world.wrong

        def do() -> None:
            beside.state = "ADMITTED" if passes else "OUT"

        self.world.effect("probe-b", node, do)
        return ProbeResult(node, passes, beside.checkpoint, "" if passes else "token 3 differs")


def _fill(machine: Machine, slot: str, checkpoint: str) -> None:
    """Let a slot load a checkpoint, unless it is to hold one already."""
    if slot == "b":
        machine.beside = machine.beside or Beside(checkpoint)
    elif not machine.has_first:
        machine.has_first, machine.checkpoint, machine.state = True, checkpoint, "ADMITTED"


def _empty(machine: Machine, slot: str) -> None:
    """Let a slot load nothing."""
    if slot == "b":
        machine.beside = None
    else:
        machine.has_first, machine.requests, machine.state = False, [], "STARTING"
