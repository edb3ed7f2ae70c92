"""Each port, served by a world."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

from permafrost.counts import Counts
from permafrost.errors import Failed, Problem
from permafrost.facts import (
    BackendFacts,
    NodeFacts,
    ProbeResult,
    ServerFacts,
    ServerState,
    SlotFacts,
    StreamFacts,
    StreamsEnded,
    Traffic,
)
from permafrost.planning.cluster import DatastoreFacts, LicenseFacts, TemplateFacts
from permafrost.planning.ownership import (
    attributes_of,
    category_name,
    override_of,
    tag_name,
)
from permafrost.planning.slots import Slot
from permafrost.planning.snapshot import Inventory, RuleFacts, VmFacts
from permafrost.topology import edges, nodes, replicas, rule_name
from tests.fakes import drs
from tests.fakes.world import Beside, Machine, World


def unreachable(node: str) -> Failed:
    return Failed(Problem("NODE_UNREACHABLE", "no answer", node))


class FakeHypervisor:
    def __init__(self, world: World) -> None:
        self.world = world

    def observe(self) -> Inventory:
        if self.world.vcenter_down:
            raise Failed(Problem("VCENTER_UNREACHABLE", "vcenter does not answer"))
        owners = {(m.host, g): m.name for m in self.world.machines.values() for g in m.gpus}
        hosts = tuple(
            replace(
                h,
                gpus=tuple(
                    replace(g, used_by=owners.get((h.name, g.address), "")) for g in h.gpus
                ),
            )
            for h in self.world.hosts.values()
        )
        vms = tuple(
            VmFacts(
                m.name,
                f"vm-{m.name}",
                f"uuid-{m.name}",
                m.host,
                m.is_on,
                m.gpus,
                is_connected=self.world.hosts[m.host].connected,
                memory_mib=4096,
                memory_reservation_mib=4096 if m.is_reserved else 0,
                is_reservation_locked=m.is_reserved,
                **self._own(m),
            )
            for m in self.world.machines.values()
        )
        rules = tuple(
            RuleFacts(
                rule_name(self.world.site, e),
                e not in self.world.rules_off,
                True,
                frozenset(n.name for n in group),
            )
            for e, group in {
                **{e: replicas(self.world.site, e) for e in self.world.site.inference},
                "edge": edges(self.world.site),
            }.items()
            if len(group) > 1
        )
        return Inventory(
            hosts,
            vms,
            rules,
            self.world.cluster,
            datastores=(
                DatastoreFacts(
                    "datastore1", self.world.free_gib, 4096, True, frozenset(self.world.hosts)
                ),
            ),
            networks=frozenset({"site-network"}),
            templates=(TemplateFacts("debian-13", 20, "efi", "vmx-21"),),
            licenses=(LicenseFacts("esx.enterprisePlus", "Enterprise Plus", frozenset({"drs"})),),
        )

    def _own(self, machine: Machine) -> dict[str, Any]:
        wanted = override_of(Slot(machine.host, "", machine.gpus))
        drs, ha = machine.overrides or ((wanted.drs, wanted.ha) if wanted else ("", ""))
        node = next((n for n in nodes(self.world.site) if n.name == machine.name), None)
        marks = attributes_of(self.world.site, node) if node and machine.is_marked else {}
        return {"drs_override": drs, "ha_override": ha, "attributes": tuple(marks.items())}

    def tagged(self, category: str) -> dict[str, frozenset[str]]:
        names = {n.name: tag_name(self.world.site, n) for n in nodes(self.world.site)}
        return {
            f"vm-{m.name}": frozenset({names[m.name]})
            for m in self.world.machines.values()
            if m.is_marked and m.name in names and category == category_name(self.world.site)
        }

    def mark(self, vm: str, *, category: str, tag: str, attributes: Mapping[str, str]) -> None:
        def do() -> None:
            self.world.machines[vm].is_marked = True

        self.world.effect("mark", vm, do)

    def power_on(self, vm: str, *, deadline_s: float) -> None:
        self.world.effect("power-on", vm, lambda: self.world.power_on(vm))

    def shut_down(self, vm: str, *, deadline_s: float) -> None:
        self.world.effect("shut-down", vm, lambda: self.world.power_off(vm))

    def power_off(self, vm: str, *, deadline_s: float) -> None:
        self.world.effect("power-off", vm, lambda: self.world.power_off(vm))

    def move(self, vm: str, host: str, *, deadline_s: float) -> None:
        if not self.world.hosts[host].is_usable:
            raise Failed(Problem("VCENTER_TASK_REFUSED", "that host takes none", vm))

        def do() -> None:
            if not drs.brings_back(self.world, self.world.machines[vm], host):
                self.world.machines[vm].host = host

        self.world.effect("move", vm, do)

    def enter_maintenance(self, host: str, *, deadline_s: float) -> None:
        if self.world.hosts[host].connected:
            drs.empties(self.world, host)
        running = [m.name for m in self.world.machines.values() if m.host == host and m.is_on]
        if running or not self.world.hosts[host].connected:
            raise Failed(Problem("MAINTENANCE_DEADLINE", f"on it run {running}", host))
        self._set_mode(host, is_in=True)

    def exit_maintenance(self, host: str, *, deadline_s: float) -> None:
        if not self.world.hosts[host].connected:
            raise Failed(Problem("VCENTER_TASK_REFUSED", "not connected", host))
        self._set_mode(host, is_in=False)

    def _set_mode(self, host: str, *, is_in: bool) -> None:
        def do() -> None:
            facts = self.world.hosts[host]
            self.world.hosts[host] = replace(facts, in_maintenance=is_in)

        self.world.effect("enter-maintenance" if is_in else "exit-maintenance", host, do)


class FakeTrafficDirector:
    def __init__(self, world: World) -> None:
        self.world = world

    def observe(self) -> Traffic:
        world = self.world
        backends: list[BackendFacts] = []
        unreached: dict[str, str] = {}
        for edge in edges(world.site):
            if edge.name in world.edges_down or not world.works(edge.name):
                unreached[edge.name] = "no answer"
                continue
            for name, slot in product(sorted(world.site.inference), "ab"):
                backend = f"{name}_{slot}"
                servers = tuple(
                    ServerFacts(
                        edge.name,
                        backend,
                        n.name,
                        is_up=n.name in world.machines and world.is_up(n.name, slot),
                        admin=world.edge_state[edge.name, n.name],
                        in_flight=self._open(n.name, slot),
                        is_live=slot in world.slots_for(edge.name, n.name),
                        counts=world.counted.get((n.name, slot), Counts()),
                    )
                    for n in replicas(world.site, name)
                )
                backends.append(BackendFacts(edge.name, backend, 0, servers))
        holders = [e.name for e in edges(world.site) if e.name not in unreached]
        vip = frozenset(holders[:1]) if world.site.edge.vip else frozenset()
        away = {
            e.name: frozenset(
                replica
                for (edge, replica), state in world.edge_state.items()
                if edge == e.name and state is not ServerState.READY
            )
            for e in edges(world.site)
        }
        routes = {e.name: self._routes(e.name) for e in edges(world.site)}
        return Traffic(tuple(backends), unreached, vip, away, routes, routes)

    def _routes(self, edge: str) -> dict[str, str]:
        told = dict.fromkeys(self.world.site.inference, "a")
        pins = {
            f"{name}@{endpoint.model.partition('@')[2]}": "a"
            for name, endpoint in self.world.site.inference.items()
        }
        return self.world.routes.get(edge, {**told, **pins})

    def _open(self, name: str, slot: str) -> int:
        machine = self.world.machines.get(name)
        if machine is None:
            return 0
        if slot == "b":
            return len(machine.beside.requests) if machine.beside else 0
        return len(machine.requests) + machine.idle_streams

    def set_routes(self, routes: Mapping[str, str], *, but: frozenset[str] = frozenset()) -> None:
        for edge in sorted(self._reached(but)):
            if self._routes(edge) != routes:

                def do(edge: str = edge) -> None:
                    self.world.routes[edge] = dict(routes)

                self.world.effect("route", edge, do)

    def _reached(self, but: frozenset[str]) -> set[str]:
        silent = set(self.observe().unreachable) - but
        if silent:
            raise unreachable(min(silent))
        return {edge for edge, _ in self.world.edge_state} - but

    def set_state(
        self, replica: str, state: ServerState, *, but: frozenset[str] = frozenset()
    ) -> None:
        reached = self._reached(but)
        places = [key for key in self.world.edge_state if key[1] == replica and key[0] in reached]
        if reached and not places:
            raise Failed(Problem("EDGE_KNOWS_NO_REPLICA", "no such server", replica))
        if not reached:
            return

        def do() -> None:
            for key in places:
                self.world.edge_state[key] = state

        self.world.effect(f"edge-{state.value}", replica, do)

    def streams(self, replica: str, *, slot: str = "") -> tuple[StreamFacts, ...]:
        machine = self.world.machines[replica]
        work = machine.requests
        held = [machine.stream_bytes] * machine.idle_streams
        if slot == "b":
            work, held = machine.beside.requests if machine.beside else [], []
        edge = min(e for e, _ in self.world.edge_state)
        told = [(f"held-{n}", True, (moved, moved)) for n, moved in enumerate(held)]
        told += [(f"work-{n}", False, (0, 0)) for n, _ in enumerate(work)]
        return tuple(
            StreamFacts(edge, 1, f"{replica}#{name}", is_held, moved)
            for name, is_held, moved in told
        )

    def end_streams(self, streams: Collection[StreamFacts]) -> int:
        ended = 0
        for replica in sorted({s.name.partition("#")[0] for s in streams}):
            gone = set(self.streams(replica)) & {s for s in streams if s.is_held}

            def do(machine: Machine = self.world.machines[replica], n: int = len(gone)) -> None:
                machine.idle_streams -= n

            if gone:
                self.world.effect("end-idle", replica, do)
            ended += len(gone)
        return ended

    def end_all(self, replica: str) -> StreamsEnded:
        machine = self.world.machines[replica]
        count = len(machine.requests) + machine.idle_streams

        def do() -> None:
            machine.requests, machine.idle_streams = [], 0

        self.world.effect("end-all", replica, do)
        return StreamsEnded(count, count)

    def set_clients(self, keys: Mapping[str, str], *, but: frozenset[str] = frozenset()) -> None:
        self._reached(but)

        def do() -> None:
            self.world.client_keys = dict(keys)

        if self.world.client_keys != keys:
            self.world.effect("clients", "edges", do)


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
            raise Failed(Problem("SLOT_TAKEN", f"slot {slot} is to load {had}", node))
        return machine

    def load(self, node: str, slot: str, checkpoint: str) -> None:
        machine = self._with_room(node, slot, checkpoint)

        def do() -> None:
            if slot == "b":
                machine.beside = machine.beside or Beside(checkpoint)
            elif not machine.has_first:
                machine.has_first, machine.checkpoint, machine.state = True, checkpoint, "ADMITTED"

        self.world.effect(f"load-{slot}", node, do)

    def fetch(self, node: str, checkpoint: str) -> None:
        if not self.world.works(node):
            raise unreachable(node)
        self.world.effect("fetch", node, lambda: None)

    def exchange(self, node: str, slot: str, checkpoint: str) -> None:
        machine = self._with_room(node, slot, checkpoint)

        def empty() -> None:
            if slot == "b":
                machine.has_first, machine.requests, machine.state = False, [], "STARTING"
            else:
                machine.beside = None

        def fill() -> None:
            if slot == "b":
                machine.beside = machine.beside or Beside(checkpoint)
            elif not machine.has_first:
                machine.has_first, machine.checkpoint, machine.state = True, checkpoint, "ADMITTED"

        self.world.effect("empty-for-" + slot, node, empty)
        self.world.effect("exchange-" + slot, node, fill)

    def unload(self, node: str, slot: str) -> None:
        if not self.world.works(node):
            raise unreachable(node)
        machine = self.world.machines[node]

        def do() -> None:
            if slot == "b":
                machine.beside = None
            else:
                machine.has_first, machine.requests, machine.state = False, [], "STARTING"

        if self.world.slot_state(node, slot)[0]:
            self.world.effect(f"unload-{slot}", node, do)

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
