"""A site in memory: hosts, VMs, edges, requests that take time, and a clock that moves them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from permafrost.counts import Counts
from permafrost.errors import Failed, Problem
from permafrost.facts import ServerState
from permafrost.planning.cluster import ClusterSettings
from permafrost.planning.placement import Placement, plan_placement
from permafrost.planning.release import slots_of
from permafrost.planning.snapshot import GpuFacts, HostFacts
from permafrost.site.model import Site
from permafrost.topology import edges, nodes, replicas
from tests.fakes.machine import Machine
from tests.fakes.query_tier import QueryTier

KIND = "10de:2330"
GPUS = ("0000:3b:00.0", "0000:d8:00.0")


class Cut(BaseException):
    """The process is killed here."""


AS_THE_ADAPTER = "what the adapter's own error says is to be done"
"""Every error of a port says what to do; the words are the adapter's own."""


def unreachable(node: str) -> Failed:
    """Return what an adapter raises for a node that does not answer."""
    return Failed(Problem("NODE_UNREACHABLE", "no answer", node, AS_THE_ADAPTER))


@dataclass
class World:
    """All there is. ``effects`` names every change that was made from outside."""

    site: Site
    machines: dict[str, Machine]
    hosts: dict[str, HostFacts]
    edge_state: dict[tuple[str, str], ServerState]
    seconds: float = 0.0
    request_s: float = 1.0
    rate_per_tick: int = 1
    effects: list[str] = field(default_factory=list)
    cut_in: int | None = None
    watchers: list[Callable[[str, str], None]] = field(default_factory=list)
    """Told of every effect before it is made."""
    witnesses: list[Callable[[str, str], None]] = field(default_factory=list)
    """Told of every effect once it is made."""
    edges_down: set[str] = field(default_factory=set)
    vcenter_down: bool = False
    client_keys: dict[str, str] = field(default_factory=dict)
    free_gib: int = 4000
    rules_off: set[str] = field(default_factory=set)
    routes: dict[str, dict[str, str]] = field(default_factory=dict)
    """For each edge: endpoint, and endpoint@checkpoint, to slot."""
    wrong: set[str] = field(default_factory=set)
    """Checkpoints whose answers are not the recorded ones."""
    expired: set[str] = field(default_factory=set)
    """Replicas whose certificate has run out: edges see them down, and they answer."""
    failing: set[str] = field(default_factory=set)
    """Checkpoints whose requests fail, although their probes pass."""
    wedging: set[str] = field(default_factory=set)
    """Checkpoints whose gate closes once they have answered, although their probes pass."""
    slow: dict[str, int] = field(default_factory=dict)
    """Checkpoints to the milliseconds that they let wait."""
    counted: dict[tuple[str, str], Counts] = field(default_factory=dict)
    """(replica, slot) to what each edge counts there."""
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    handed_over: set[str] = field(default_factory=set)
    """Members of the knowledge tier on which nothing serves although they run."""
    etcd_leader: str = ""
    took_over: tuple[str, float] = ("", 0.0)
    """Whose coordinators took over, and at which second they give way to the first ones."""
    empty_disks: set[str] = field(default_factory=set)
    """Members whose stores have lost everything: none of them runs any more."""
    unsettled: set[str] = field(default_factory=set)
    """Members whose proxy does not know who leads."""
    expected: set[str] = field(default_factory=set)
    """Members that etcd expects as new ones."""
    owner: str = ""
    """Whose cluster it is."""
    query: QueryTier = field(default_factory=QueryTier)
    """Which query nodes have which replicas."""

    @classmethod
    def of(cls, site: Site, hosts: int = 3) -> World:
        """Return a site where everything serves."""
        facts = tuple(
            HostFacts(
                f"lab-esx-{i:02}", f"host-{i}", True, False, tuple(GpuFacts(g, KIND) for g in GPUS)
            )
            for i in range(1, hosts + 1)
        )
        placement = plan_placement(site, facts, Placement())
        machines = {
            n.name: Machine(
                n.name,
                placement[n.name].host,
                placement[n.name].gpus,
                checkpoint=site.inference[n.endpoint].model.partition("@")[2]
                if n.endpoint
                else "",
            )
            for n in nodes(site)
        }
        edge_state = {
            (e.name, n.name): ServerState.READY
            for e in edges(site)
            for n in nodes(site)
            if n.endpoint
        }
        return cls(site, machines, {h.name: h for h in facts}, edge_state)

    def effect(self, what: str, target: str, do: Callable[[], None]) -> None:
        """Make a change; a pending cut falls before it or after it."""
        for watch in self.watchers:
            watch(what, target)
        self._maybe_cut()
        do()
        self.effects.append(f"{what} {target}")
        for witness in self.witnesses:
            witness(what, target)
        self._maybe_cut()

    def _maybe_cut(self) -> None:
        if self.cut_in is not None:
            self.cut_in -= 1
            if self.cut_in < 0:
                self.cut_in = None
                raise Cut

    def works(self, name: str) -> bool:
        """Whether a machine runs and has booted, on a host that is there."""
        machine = self.machines.get(name)
        return (
            machine is not None
            and machine.is_on
            and machine.boot_s <= 0
            and self.hosts[machine.host].connected
        )

    def slot_state(self, name: str, slot: str) -> tuple[str, str]:
        """Return state and checkpoint of a slot; empty words where it is to load nothing."""
        machine = self.machines[name]
        if slot == "b":
            return (
                (machine.beside.state, machine.beside.checkpoint) if machine.beside else ("", "")
            )
        return (machine.state, machine.checkpoint) if machine.has_first else ("", "")

    def is_up(self, name: str, slot: str) -> bool:
        """Whether a slot answers the edges' check."""
        is_shut = name in self.expired
        return not is_shut and self.works(name) and self.slot_state(name, slot)[0] == "ADMITTED"

    def routed(self, edge: str, name: str) -> str:
        """Return the slot to which an edge sends the requests of a replica's endpoint."""
        endpoint = next(n.endpoint for n in nodes(self.site) if n.name == name)
        return self.routes.get(edge, {}).get(endpoint, "a")

    def slots_for(self, edge: str, name: str) -> frozenset[str]:
        """Return the slots to which an edge sends requests of a replica's endpoint."""
        endpoint = next(n.endpoint for n in nodes(self.site) if n.name == name)
        return slots_of(self.routes.get(edge, {}), endpoint) or frozenset({"a"})

    def takes_requests(self, name: str) -> bool:
        """Whether the edges send this replica requests."""
        told = {e: s for (e, r), s in self.edge_state.items() if r == name and self.works(e)}
        is_up = all(
            any(self.is_up(name, slot) for slot in self.slots_for(edge, name)) for edge in told
        )
        return is_up and set(told.values()) == {ServerState.READY}

    def answers(self, endpoint: str) -> set[str]:
        """Return the checkpoints that clients of an endpoint may be answered by."""
        return {
            self.slot_state(n.name, slot)[1]
            for n in replicas(self.site, endpoint)
            for (edge, r), state in self.edge_state.items()
            for slot in self.slots_for(edge, n.name)
            if r == n.name and state is ServerState.READY and self.works(edge)
            and self.is_up(n.name, slot)
        }  # fmt: skip

    def pinned_to(self, endpoint: str, checkpoint: str) -> set[str]:
        """Return the checkpoints behind the slot to which edges send those who pin one."""
        slots = {
            told[f"{endpoint}@{checkpoint}"]
            for edge, told in self.routes.items()
            if self.works(edge) and f"{endpoint}@{checkpoint}" in told
        }
        return {
            self.slot_state(n.name, slot)[1]
            for n in replicas(self.site, endpoint)
            for slot in slots
            if self.is_up(n.name, slot)
            and all(s is ServerState.READY for (_, r), s in self.edge_state.items() if r == n.name)
        }

    def serving(self, endpoint: str) -> set[str]:
        """Return the replicas of an endpoint that take requests."""
        return {n.name for n in replicas(self.site, endpoint) if self.takes_requests(n.name)}

    def pass_time(self, seconds: float) -> None:
        """Let requests end and new ones begin."""
        self.seconds += seconds
        for name, machine in self.machines.items():
            if machine.boot_s > 0 and machine.is_on:
                machine.boot_s -= seconds
                if machine.boot_s <= 0:
                    machine.state = "ADMITTED" if machine.passes_probe else "OUT"
                    if machine.beside is not None:
                        machine.beside.state = "STARTING"
            for slot in (machine, machine.beside):
                if slot is not None:
                    slot.requests = [left - seconds for left in slot.requests if left > seconds]
            if machine.beside is not None and machine.beside.state == "STARTING":
                is_right = machine.passes_probe and machine.beside.checkpoint not in self.wrong
                machine.beside.state = "ADMITTED" if is_right else "OUT"
            if name in {r for _, r in self.edge_state} and self.takes_requests(name):
                edge = next(e for e, r in self.edge_state if r == name)
                for slot in sorted(self.slots_for(edge, name)):
                    if self.is_up(name, slot):
                        self._ask(name, slot)

    def _ask(self, name: str, slot: str) -> None:
        """Send a slot of a replica what comes in a tick; every edge counts it."""
        machine, checkpoint = self.machines[name], self.slot_state(name, slot)[1]
        to = machine.beside if slot == "b" else machine
        if to is None:
            return
        to.requests += [self.request_s] * self.rate_per_tick
        if machine.beside is not None and slot == "b" and checkpoint in self.wedging:
            machine.beside.state = "OUT"
        was = self.counted.get((name, slot), Counts())
        failed = self.rate_per_tick if checkpoint in self.failing else 0
        ms = self.slow.get(checkpoint, 100)
        self.counted[name, slot] = Counts(
            was.requests + self.rate_per_tick, was.errors + failed, response_ms=ms
        )

    def power_off(self, name: str) -> None:
        """Cut a machine's power."""
        machine = self.machines[name]
        machine.is_on, machine.state, machine.requests = False, "STARTING", []
        machine.idle_streams = 0
        if machine.beside is not None:
            machine.beside.state, machine.beside.requests = "STARTING", []

    def start_all(self, member: str) -> None:
        """Everything on a member of the knowledge tier runs, but for its spare query node."""
        self.handed_over.discard(member)
        self.query.stopped -= {n for n in self.query.stopped if n.member == member}

    def power_on(self, name: str, boot_s: float = 3.0) -> None:
        """Start a machine; it comes back by itself when it passes its own probe."""
        machine = self.machines[name]
        if not machine.is_on:
            machine.is_on, machine.state, machine.boot_s = True, "STARTING", boot_s
            self.start_all(name)


class WorldClock:
    """Time of a world: sleeping moves it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._world.seconds)

    def monotonic(self) -> float:
        return self._world.seconds

    def sleep(self, seconds: float) -> None:
        self._world.pass_time(max(seconds, 0.05))
