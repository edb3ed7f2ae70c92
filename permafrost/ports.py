"""What Permafrost needs of the world, named by capability.

Adapters (named by product) serve these; fakes serve them in tests; one contract suite a port
holds both to the same behaviour. Methods raise ``permafrost.errors`` only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from permafrost.facts import (
    CanaryAnswers,
    CheckpointFacts,
    MemberDisk,
    MemberState,
    NodeFacts,
    ProbeAnswers,
    ProbeResult,
    ServerState,
    StreamFacts,
    StreamsEnded,
    Traffic,
)
from permafrost.planning.interruption import Interruption
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

    def tagged(self, category: str) -> Mapping[str, frozenset[str]]:
        """Return by VM id the tags of one category."""

    def mark(self, vm: str, *, category: str, tag: str, attributes: Mapping[str, str]) -> None:
        """Put a tag and custom attributes on a VM; what others put there stays."""


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

    def hand_over(self, member: str, *, deadline_s: float) -> None:
        """Stop what serves on a member, so that others take it, and give leadership away."""

    def restart(self, member: str, unit: str, *, deadline_s: float) -> None:
        """Have one process on a member hand over what it serves and begin anew."""

    def start(self, member: str, unit: str) -> None:
        """Have one process on a member begin, as a spare that stands still; twice is as once."""

    def stop(self, member: str, unit: str, *, deadline_s: float) -> None:
        """Have one process on a member hand over what it serves and end."""

    def hold_balance(self, member: str) -> None:
        """Have query nodes that come given no segments of others; ``member`` says it."""

    def release_balance(self, member: str) -> None:
        """Have segments balanced again; ``member`` says it."""

    def take_up(self, member: str) -> None:
        """Have everything on a member started but spares; what runs is left alone."""

    def disk(self, member: str) -> MemberDisk:
        """Return what a member's disk holds, configured or not; Failed when it does not say."""

    def readmit(self, member: str, *, by: str) -> None:
        """Have ``by`` make etcd expect a member with an empty disk; twice is as once.

        Raises Failed (KNOWLEDGE_NOT_READMITTED) where the others have no majority.
        """

    def claim(self, member: str, owner: str) -> str:
        """Note whose cluster this is where nobody has, and return whose it is."""


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

    def interruption(self) -> Interruption:
        """Return what an interrupted run left behind; nothing is touched."""

    def repair(self) -> None:
        """Clear what an interrupted run left behind."""

    def preview(self, *, refresh: bool = False) -> Sequence[Change]:
        """Return what an ``up`` would change; nothing is touched.

        ``refresh``: first look at what there really is; without, drift is not seen.
        """

    def up(self, lock_token: str, *, refresh: bool = False) -> None:
        """Make it so. Hooks and converging resources join the operation by the token."""

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

    def converge(self, node: Node, *, check: bool = False, joins: bool = False) -> ConvergeResult:
        """Configure the node; with ``check`` only say what would change.

        ``joins``: its disk is empty, and it joins a cluster that there is.
        """

    def renew_certificate(self, node: Node) -> None:
        """Let the node get another certificate with its next configuration."""

    def write_certificate(self, node: Node) -> ConvergeResult:
        """Give the node its certificate and nothing else; its HAProxy reloads with it."""


class TrafficDirector(Protocol):
    """The edges: who gets requests."""

    def observe(self) -> Traffic:
        """Return what every edge does now; an edge that does not answer is listed as such."""

    def set_state(
        self, replica: str, state: ServerState, *, but: frozenset[str] = frozenset()
    ) -> Traffic:
        """Set a replica's state on every edge, in every backend where it stands.

        It is kept over a reload and a restart of the edge. ``but``: edges that are off. Returns
        what the edges that were told see then.
        """

    def streams(self, replica: str, *, slot: str = "") -> tuple[StreamFacts, ...]:
        """Return what is open at a replica, or at one of its slots; silent edges tell nothing."""

    def end_streams(self, streams: Collection[StreamFacts]) -> int:
        """End these streams, except those on which something has moved since; return how many."""

    def end_all(self, replica: str) -> StreamsEnded:
        """End everything that is open at a replica."""

    def set_routes(
        self, routes: Mapping[str, str], *, but: frozenset[str] = frozenset()
    ) -> Traffic:
        """Make every edge send requests so: endpoint, endpoint@checkpoint, to a slot.

        In its file first, then in every worker; all edges at once, in between they differ. Returns
        what the edges that were told see then.
        """

    def set_clients(self, keys: Mapping[str, str], *, but: frozenset[str] = frozenset()) -> None:
        """Make every edge know these client keys alone: SHA-256 in hex to ``name:expiry``."""


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

    def fetch(self, node: str, checkpoint: str) -> None:
        """Have a node fetch a checkpoint's bytes, verified; what it serves is not touched."""

    def exchange(self, node: str, slot: str, checkpoint: str) -> None:
        """Have a slot load a checkpoint instead of the other slot, whose server ends first."""

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

    def ping(self) -> None:
        """Raise Failed unless the registry answers, is trusted, and takes user and password."""

    def resolve(self, pinned: str) -> CheckpointFacts:
        """Return what ``name@sha256:…`` stands for; Refused when it is not there."""

    def has_image(self, pinned: str) -> bool:
        """Whether the registry holds a container image."""
