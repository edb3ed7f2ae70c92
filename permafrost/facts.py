"""What is seen of the world beside vCenter: edges, nodes, model servers, knowledge, checkpoints.

Values that adapters return and plans are made from; what vCenter shows is in
``permafrost.planning.snapshot``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from permafrost.counts import Counts
from permafrost.planning.gpu_memory import Architecture


@dataclass(frozen=True, slots=True)
class QueryReplica:
    """One in-memory copy of a loaded collection, by Milvus' numbers, with its query nodes'."""

    collection: str
    replica: str
    nodes: frozenset[int]


@dataclass(frozen=True, slots=True)
class ProxyLeaders:
    """What was noted last of the query nodes that a proxy sends to.

    ``address`` is its member's. ``is_settled``: it knows exactly those that lead, and all of them
    were seen to be whole. ``leaders``: collection to channel to the nodes that lead it, of each
    replica one, by Milvus' numbers.
    """

    address: str
    is_settled: bool
    leaders: Mapping[str, Mapping[str, tuple[int, ...]]]


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
    healing: int = 0
    """Drives of the object store on this member that are being filled from the others."""
    disk_free_mib: int | None = None
    disk_mib: int | None = None
    """Of the disk that holds its data; None where it does not say."""
    cluster_owner: str = ""
    """Which control plane the cluster, as etcd has it, belongs to; empty where nobody said."""
    replicas: tuple[QueryReplica, ...] = ()
    proxy_leaders: tuple[ProxyLeaders, ...] = ()
    """Of the proxies of all members; none of a version whose proxies find out by themselves."""
    stopping: frozenset[str] = frozenset()
    """Which of the sessions are marked as ones that stop, by their keys."""
    query_versions: frozenset[str] = frozenset()
    """Versions of Milvus whose query nodes are registered."""
    balance_held: bool = False
    """Whether query nodes that come are given no segments of others, by our doing."""
    turn: str = ""
    """Address of the member that restarts a query node by itself just now; empty: none."""
    spares: frozenset[str] = frozenset()
    """Units that stand still until they are told to start; ``units`` has those that run."""


@dataclass(frozen=True, slots=True)
class MemberDisk:
    """Which stores have data on a member's disk: those that it can go on with."""

    member: str
    holds: frozenset[str]


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """A node's clock: ``offset_s`` ahead of this machine's (behind: negative), as far as known.

    ``uncertainty_s`` is half of the time that the question took. ``follows`` is the server that
    the node's chrony follows, "" while it follows none; ``has_keeper`` whether one runs there.
    """

    offset_s: float
    uncertainty_s: float
    has_keeper: bool = False
    follows: str = ""


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
    """Whether this edge sends the endpoint's requests, or a share of them, to this slot."""
    counts: Counts = field(default_factory=Counts)
    most_at_once: int = 0
    """The most requests that this edge has had there at one time since its worker began."""

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
class StreamFacts:
    """One request that is open at a replica, in one worker of one edge.

    ``name`` is the worker's own for it, and no other has it. ``is_held``: its client has not ended
    it and may send on, as in a gRPC stream. ``moved``: the bytes so far, from client and server.
    """

    edge: str
    worker: int
    name: str
    is_held: bool
    moved: tuple[int, int]

    @property
    def key(self) -> tuple[str, int, str]:
        """What tells it from every other one."""
        return self.edge, self.worker, self.name


@dataclass(frozen=True, slots=True)
class StreamsEnded:
    """How many streams were open at a replica, and how many of them were ended."""

    open: int
    ended: int


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
        """Requests that its model servers still work on, in every slot."""
        own = self.pending + self.executing
        if self.slot in self.slots or not self.slots:
            return own + sum(s.in_flight for name, s in self.slots.items() if name != self.slot)
        return sum(s.in_flight for s in self.slots.values())


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
