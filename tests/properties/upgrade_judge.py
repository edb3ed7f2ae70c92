"""What must hold of an endpoint at every effect, judged against the world alone.

- no edge loses a replica by an effect of ours while fewer than ``min_ready`` are left there; a
  probe only finds out what is so;
- whatever answers requests without a pin has a digest that is recorded for its endpoint, and was
  probed since it was loaded;
- a pin is answered by its own checkpoint or by nobody;
- no edge sends a share to a slot that nobody has;
- a slot is emptied only where no edge sends requests and nothing is in flight, and while no other
  replica of the endpoint is without any slot.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from permafrost import topology
from permafrost.facts import ServerState
from permafrost.planning.release import other_slot, slots_of
from tests.fakes.world import World

EMPTIES = ("unload-", "empty-for-")


@dataclass
class Judge:
    """Of one endpoint. ``recorded`` gives the digests that may answer for it now."""

    world: World
    endpoint: str
    floor: int
    recorded: Callable[[], Collection[str]]
    unproven: set[tuple[str, str]] = field(default_factory=set)
    """(replica, slot) that was loaded and not probed since."""
    _had: dict[str, set[str]] = field(default_factory=dict)

    def watch(self) -> None:
        """Be told of every effect from now on."""
        self.world.watchers.append(self.before)
        self.world.witnesses.append(self.after)

    @property
    def members(self) -> list[str]:
        """The endpoint's replicas."""
        return [n.name for n in topology.replicas(self.world.site, self.endpoint)]

    def told(self, edge: str) -> dict[str, str]:
        """Return what an edge knows of the endpoint's slots."""
        known = self.world.routes.get(edge)
        return {self.endpoint: "a"} if known is None else known

    def answering(self, edge: str) -> set[tuple[str, str]]:
        """Return (replica, slot) to which an edge sends requests without a pin, and that is up."""
        slots = slots_of(self.told(edge), self.endpoint)
        return {(n, s) for n in self.ready_at(edge) for s in slots if self.world.is_up(n, s)}

    def ready_at(self, edge: str) -> list[str]:
        """Return the replicas that an edge may send requests to."""
        state = self.world.edge_state
        return [n for n in self.members if state.get((edge, n)) is ServerState.READY]

    def edges(self) -> list[str]:
        """Return the edges that work."""
        return [e.name for e in topology.edges(self.world.site) if self.world.works(e.name)]

    def serving(self) -> dict[str, set[str]]:
        """Return for each edge the replicas that it sends requests to."""
        return {edge: {n for n, _ in self.answering(edge)} for edge in self.edges()}

    def before(self, what: str, target: str) -> None:
        """Look, just before an effect, and judge what it is about to empty."""
        self._had = self.serving()
        if target not in self.members or not what.startswith(EMPTIES):
            return
        slot = what[-1] if what.startswith("unload-") else other_slot(what[-1])
        sent = [e for e in self.edges() if (target, slot) in self.answering(e)]
        assert not sent, f"{what} {target}: {sent} send slot {slot} requests"
        machine = self.world.machines[target]
        beside = machine.beside.requests if machine.beside else []
        left = machine.requests if slot == "a" else beside
        assert not left, f"{what} {target}: {len(left)} in flight in slot {slot}"
        empty = {n for n in self.members if not self._holds(n)} - {target}
        if not self.world.slot_state(target, other_slot(slot))[0]:
            assert not empty, f"{what} {target}: {sorted(empty)} hold nothing already"

    def _holds(self, name: str) -> bool:
        return any(self.world.slot_state(name, slot)[0] for slot in "ab")

    def after(self, what: str, target: str) -> None:
        """Judge what an effect has made."""
        self._note(what, target)
        where, now = f"{what} {target}", self.serving()
        if not what.startswith("probe") and what != "up":
            for edge, had in self._had.items():
                left = now.get(edge, had)
                too_few = had - left and len(left) < self.floor
                assert not too_few, f"{where}: {edge} goes from {len(had)} to {len(left)} replicas"
        for edge in now:
            self._judge_answers(edge, where)
            self._judge_pins(edge, where)
            if what == "route" and target == edge:
                have = {slot for _, slot in self.answering(edge)}
                lacking = slots_of(self.told(edge), self.endpoint) - have
                assert not lacking or not self._had[edge], f"{where}: nobody has {lacking}"

    def _note(self, what: str, target: str) -> None:
        """Keep in mind what was loaded, and what was probed since."""
        if what.startswith(("load-", "exchange-")):
            self.unproven.add((target, what[-1]))
        if what in ("probe", "probe-b"):
            slot = "b" if what == "probe-b" else "a"
            if self.world.slot_state(target, slot)[0] == "ADMITTED":
                self.unproven.discard((target, slot))

    def _judge_answers(self, edge: str, where: str) -> None:
        allowed = self.recorded()
        for name, slot in sorted(self.answering(edge)):
            digest = self.world.slot_state(name, slot)[1]
            assert digest in allowed, f"{where}: {name} answers with {digest}, not recorded"
            assert (name, slot) not in self.unproven, f"{where}: {name} slot {slot} not probed"

    def _judge_pins(self, edge: str, where: str) -> None:
        for key, slot in self.told(edge).items():
            endpoint, _, pin = key.partition("@")
            if endpoint != self.endpoint or not pin:
                continue
            for name in self.ready_at(edge):
                digest = self.world.slot_state(name, slot)[1]
                is_other = self.world.is_up(name, slot) and digest != pin
                assert not is_other, f"{where}: {name} answers a pin to {pin} with {digest}"
