"""A site in memory: hosts, VMs, edges, requests that take time, and a clock that moves them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from permafrost.planning.cluster import ClusterSettings
from permafrost.planning.placement import Placement, plan_placement
from permafrost.planning.snapshot import GpuFacts, HostFacts
from permafrost.ports import ServerState
from permafrost.site.model import Site
from permafrost.topology import edges, nodes, replicas

KIND = "10de:2330"
GPUS = ("0000:3b:00.0", "0000:d8:00.0")


class Cut(BaseException):
    """The process is killed here."""


@dataclass
class Machine:
    """One VM and what runs in it."""

    name: str
    host: str
    gpus: tuple[str, ...] = ()
    is_on: bool = True
    state: str = "ADMITTED"
    passes_probe: bool = True
    checkpoint: str = ""
    boot_s: float = 0.0
    is_reserved: bool = True
    requests: list[float] = field(default_factory=list)
    idle_streams: int = 0
    quiet_since: float = 0.0


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
    edges_down: set[str] = field(default_factory=set)
    vcenter_down: bool = False
    client_keys: dict[str, str] = field(default_factory=dict)
    free_gib: int = 4000
    rules_off: set[str] = field(default_factory=set)
    cluster: ClusterSettings = field(default_factory=ClusterSettings)

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

    def takes_requests(self, name: str) -> bool:
        """Whether the edges send this replica requests."""
        is_up = self.works(name) and self.machines[name].state == "ADMITTED"
        states = {s for (edge, r), s in self.edge_state.items() if r == name and self.works(edge)}
        return is_up and states == {ServerState.READY}

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
            machine.requests = [left - seconds for left in machine.requests if left > seconds]
            if self.takes_requests(name):
                machine.requests += [self.request_s] * self.rate_per_tick

    def power_off(self, name: str) -> None:
        """Cut a machine's power."""
        machine = self.machines[name]
        machine.is_on, machine.state, machine.requests = False, "STARTING", []
        machine.idle_streams = 0

    def power_on(self, name: str, boot_s: float = 3.0) -> None:
        """Start a machine; it comes back by itself when it passes its own probe."""
        machine = self.machines[name]
        if not machine.is_on:
            machine.is_on, machine.state, machine.boot_s = True, "STARTING", boot_s


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
