"""What Permafrost needs of the world, named by capability.

Adapters (named by product) serve these; fakes serve them in tests; one contract suite a port
holds both to the same behaviour. Methods raise ``permafrost.errors`` only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from permafrost.planning.gpu_memory import Architecture
from permafrost.planning.snapshot import Inventory
from permafrost.topology import Node


class Clock(Protocol):
    """Time, so that tests never wait."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""

    def monotonic(self) -> float:
        """Return seconds that only go forward."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""


class Hypervisor(Protocol):
    """vCenter: what stands where, and power."""

    def observe(self) -> Inventory:
        """Return hosts, VMs and rules as they are now."""

    def power_on(self, vm: str, *, deadline_s: float) -> None:
        """Power a VM on; done when it is on."""

    def shut_down(self, vm: str, *, deadline_s: float) -> None:
        """Ask the guest to shut down; done when the VM is off."""

    def power_off(self, vm: str, *, deadline_s: float) -> None:
        """Cut the power; done when the VM is off."""

    def move(self, vm: str, host: str, *, deadline_s: float) -> None:
        """Move a VM to another host while it runs; done when it stands there."""

    def enter_maintenance(self, host: str, *, deadline_s: float) -> None:
        """Put a host into maintenance mode; done when it is. What may move is moved away."""

    def exit_maintenance(self, host: str, *, deadline_s: float) -> None:
        """Open a host again, and withdraw what still waits to close it."""


@dataclass(frozen=True, slots=True)
class MemberState:
    """A knowledge member as it sees the tier. ``units``: unit -> systemd's word for it.

    ``sessions`` are (what Milvus calls the process, its address), active coordinators among them.
    """

    member: str
    units: Mapping[str, str]
    etcd_leader: str
    etcd_answering: int
    store_is_writable: bool
    brokers: int
    under_replicated: int
    sessions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CanaryAnswers:
    """What one proxy answered to questions whose answers are known.

    ``wrong`` counts answers that are not the known neighbours: no error, and not right.
    """

    member: str
    asked: int = 0
    right: int = 0
    wrong: int = 0
    error: str = ""

    @property
    def is_right(self) -> bool:
        """Whether every answer was the known one."""
        return self.asked > 0 and self.right == self.asked


class VectorStore(Protocol):
    """The knowledge tier."""

    def state(self, member: str) -> MemberState:
        """Return one member's view; raise Failed when it cannot be asked."""

    def canaries(self, member: str) -> CanaryAnswers:
        """Ask the proxy of a member what is known; an error is part of the answer."""

    def collections(self, member: str) -> Mapping[str, int]:
        """Return each collection that is to be loaded, with how much of it is, in percent."""

    def settle(self, member: str) -> tuple[str, ...]:
        """Make root's password, users, roles, grants and the canaries so; return what changed."""


class Change(Protocol):
    """One thing that an ``up`` would do: ``operation`` is create, update, replace, delete …"""

    @property
    def operation(self) -> str:
        """What would be done."""

    @property
    def type(self) -> str:
        """The resource's type."""

    @property
    def name(self) -> str:
        """The resource's name."""

    @property
    def properties(self) -> Mapping[str, str]:
        """Paths of the properties that differ, to the kind of difference."""

    @property
    def old(self) -> Mapping[str, Any]:
        """The values that the resource has."""

    @property
    def new(self) -> Mapping[str, Any]:
        """The inputs that it would get."""


class Provisioner(Protocol):
    """Pulumi: which VMs exist."""

    def ensure_stack(self) -> None:
        """Make the stack when there is none."""

    def repair(self) -> None:
        """Clear what an interrupted run left behind."""

    def preview(self, *, refresh: bool = False) -> Sequence[Change]:
        """Return what an ``up`` would change; nothing is touched.

        ``refresh``: first look at what there really is; without, drift is not seen.
        """

    def up(self, lock_token: str, *, refresh: bool = False) -> None:
        """Make it so. Hooks and converging resources join the operation by the token."""

    def refresh(self) -> None:
        """Read the real state of every resource into the stack."""

    def destroy(self, lock_token: str) -> None:
        """Remove every resource of the stack."""

    def env(self) -> dict[str, str]:
        """Return the variables with which a typed ``pulumi`` reaches the same stack."""


class ConvergeResult(Protocol):
    """What configuring one node did."""

    @property
    def node(self) -> str:
        """The node."""

    @property
    def changed(self) -> int:
        """How many tasks changed something."""

    @property
    def changes(self) -> tuple[str, ...]:
        """Which tasks did."""


class Converger(Protocol):
    """Ansible: what is installed and configured on one node."""

    def fingerprint(self, node: Node) -> str:
        """Return a digest of everything that decides how the node is configured."""

    def converge(self, node: Node, *, check: bool = False) -> ConvergeResult:
        """Configure the node; with ``check`` only say what would change."""


class ServerState(StrEnum):
    """Administrative state of one server at the edge."""

    READY = "ready"
    DRAIN = "drain"
    MAINT = "maint"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One replica as one edge's backend sees it."""

    edge: str
    backend: str
    replica: str
    is_up: bool
    admin: ServerState
    in_flight: int
    check: str = ""
    is_live: bool = True
    """Whether this edge sends the endpoint's requests to this backend's slot."""

    @property
    def could_serve(self) -> bool:
        """Whether the edge would send requests there if the slot were the one that answers."""
        return self.is_up and self.admin is ServerState.READY

    @property
    def takes_requests(self) -> bool:
        """Whether the edge sends new requests there."""
        return self.is_live and self.could_serve

    @property
    def slot(self) -> str:
        """The slot that stands behind this backend."""
        return self.backend.rpartition("_")[2]


@dataclass(frozen=True, slots=True)
class BackendFacts:
    """One backend of one edge; ``queued`` requests wait for any of its servers."""

    edge: str
    name: str
    queued: int
    servers: tuple[ServerFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class Traffic:
    """All backends of all edges at one moment; ``unreachable`` edges with the reason.

    ``vip_holders``: the edges on which the clients' common address stands. ``away_in_file``: for
    each edge the replicas that it keeps away also after a reload or a restart.
    """

    backends: tuple[BackendFacts, ...] = ()
    unreachable: Mapping[str, str] = field(default_factory=dict)
    vip_holders: frozenset[str] = frozenset()
    away_in_file: Mapping[str, frozenset[str]] = field(default_factory=dict)
    routes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """For each edge: endpoint, and endpoint@checkpoint, to the slot that answers there now."""
    routes_in_file: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The same, as it will be after a reload or a restart."""

    def routes_as(self, wanted: Mapping[str, str]) -> frozenset[str]:
        """Return the edges that route just so, now and after a restart."""
        return frozenset(
            edge
            for edge in self.edges()
            if self.routes.get(edge, {}) == wanted == self.routes_in_file.get(edge, {})
        )

    def live_slots(self, endpoint: str) -> dict[str, str]:
        """Return for each edge that answered the slot to which it sends an endpoint's requests."""
        return {edge: self.routes.get(edge, {}).get(endpoint, "") for edge in sorted(self.edges())}

    def can_serve(self, replica: str, slot: str) -> bool:
        """Whether every edge that answered sees a slot of a replica up and not kept away."""
        servers = [s for s in self.of(replica) if s.slot == slot]
        return bool(servers) and {s.edge for s in servers if s.could_serve} == self.edges()

    def of(self, replica: str) -> tuple[ServerFacts, ...]:
        """Return every place where a replica stands."""
        return tuple(s for b in self.backends for s in b.servers if s.replica == replica)

    def edges(self) -> frozenset[str]:
        """Return the edges that answered."""
        return frozenset(b.edge for b in self.backends)

    def serves(self, replica: str) -> bool:
        """Whether every edge that answered sends it requests."""
        servers = self.of(replica)
        return bool(servers) and {s.edge for s in servers if s.takes_requests} == self.edges()

    def keeps_away(self, replica: str, among: frozenset[str] | None = None) -> bool:
        """Whether every edge that answered keeps it away, and will after a restart too."""
        asked = self.edges() if among is None else among
        lasting = all(replica in self.away_in_file.get(e, frozenset()) for e in asked)
        now = all(s.admin is not ServerState.READY for s in self.of(replica) if s.edge in asked)
        return lasting and now

    def in_flight(self, replica: str, slot: str = "") -> int:
        """Return the requests that the edges have open at a replica, or at one of its slots."""
        return sum(s.in_flight for s in self.of(replica) if slot in ("", s.slot))


@dataclass(frozen=True, slots=True)
class StreamsEnded:
    """How many streams were open at a replica, and how many of them were ended."""

    open: int
    ended: int


class TrafficDirector(Protocol):
    """The edges: who gets requests."""

    def observe(self) -> Traffic:
        """Return what every edge does now; an edge that does not answer is listed as such."""

    def set_state(
        self, replica: str, state: ServerState, *, but: frozenset[str] = frozenset()
    ) -> None:
        """Set a replica's state on every edge, in every backend where it stands.

        It is kept over a reload and a restart of the edge. ``but``: edges that are off.
        """

    def end_idle_streams(self, replica: str, *, idle_s: float, slot: str = "") -> StreamsEnded:
        """End the streams at a replica that only wait for their client, idle for so long.

        ``slot``: those at this slot alone.
        """

    def end_all(self, replica: str) -> StreamsEnded:
        """End everything that is open at a replica."""

    def set_routes(self, routes: Mapping[str, str], *, but: frozenset[str] = frozenset()) -> None:
        """Make every edge send requests so: endpoint, endpoint@checkpoint, to a slot.

        In its file first, then in every worker; each edge is asked afterwards. Edges follow one
        another: in between they differ.
        """

    def set_clients(self, keys: Mapping[str, str], *, but: frozenset[str] = frozenset()) -> None:
        """Make every edge know these client keys alone: SHA-256 in hex to ``name:expiry``."""


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """One slot of a node that is to load something: ``pinned``; ``checkpoint`` is what it has."""

    slot: str
    state: str
    pinned: str
    checkpoint: str
    in_flight: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What the service on an inference VM says of itself; ``state``: STARTING ADMITTED OUT.

    It speaks of the slot that answers; ``slots`` has all that are to load something.
    """

    node: str
    state: str
    checkpoint: str
    slot: str
    pending: int
    executing: int
    reason: str = ""
    slots: Mapping[str, SlotFacts] = field(default_factory=dict)

    @property
    def in_flight(self) -> int:
        """Requests that the model server still works on."""
        return self.pending + self.executing


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """A quiet probe against the recorded fingerprint."""

    node: str
    passed: bool
    checkpoint: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ProbeAnswers:
    """What a replica answered to a probe set, alone and in silence.

    ``probes`` and ``serving_class`` are documents, as fingerprints carry them.
    """

    node: str
    checkpoint: str
    serving_class: Mapping[str, object]
    probes: Sequence[Mapping[str, object]]


class ModelServer(Protocol):
    """An inference VM: what it serves, and whether it may."""

    def state(self, node: str) -> NodeFacts:
        """Return the node's own view."""

    def probe(self, node: str, slot: str = "") -> ProbeResult:
        """Verify bytes and behaviour; a pass admits the node. Without a name: what answers.

        With a slot every recorded probe is asked, without one as many as an admission needs.
        """

    def load(self, node: str, slot: str, checkpoint: str) -> None:
        """Have a slot load a checkpoint: fetched, verified, begun to start; not proven yet."""

    def unload(self, node: str, slot: str) -> None:
        """Have a slot load nothing; done when its server has ended."""

    def serving_class(self, node: str) -> Mapping[str, object]:
        """Return what decides the node's tokens beside the checkpoint's bytes."""

    def answer(
        self, node: str, probes: Sequence[Mapping[str, object]], top_k: int
    ) -> ProbeAnswers:
        """Answer a probe set; Refused (PROBE_NOT_QUIET) when somebody else is served."""

    def follow(self, node: str) -> None:
        """Let the node fetch the fingerprint that it has to meet."""


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """A checkpoint in the registry.

    ``architecture``: where its own metadata tells it. ``signed_by``: which of the site's signers
    signed it.
    """

    name: str
    digest: str
    files: int
    bytes: int
    has_fingerprint: bool
    architecture: Architecture | None = None
    signatures: int = 0
    signed_by: tuple[str, ...] = ()
    unsigned_why: tuple[str, ...] = ()
    context_tokens: int | None = None
    """The longest context that it can serve, where it says so."""
    tokenizer: str = ""
    """A digest of what turns text into tokens, where its files tell."""
    contract: str = ""
    """A digest of what shapes prompt and answer for clients: its chat template."""


class Fingerprints(Protocol):
    """The recorded behaviours of the site's checkpoints; all are documents."""

    def known(self, pinned: str) -> tuple[Mapping[str, object], ...]:
        """Return every fingerprint of a checkpoint, the oldest first."""

    def of_parents(self, pinned: str) -> tuple[Mapping[str, object], ...]:
        """Return those of what the checkpoint was made from, as far as they are there."""

    def probe_set(self, pinned: str) -> bytes | None:
        """Return the probe set that the checkpoint ships, None where it ships none."""

    def add(self, pinned: str, fingerprint: Mapping[str, object]) -> str:
        """Attach a fingerprint to its checkpoint; returns the digest of what was attached."""


class Catalog(Protocol):
    """The registry: which bytes are meant."""

    def resolve(self, pinned: str) -> CheckpointFacts:
        """Return what ``name@sha256:…`` stands for; Refused when it is not there."""

    def has_image(self, pinned: str) -> bool:
        """Whether the registry holds a container image."""
