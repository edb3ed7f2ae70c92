"""Everything that was observed at one moment, and what it says about each replica."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from permafrost.errors import Problem
from permafrost.facts import NodeFacts, Traffic
from permafrost.planning.lifecycle import Declared, DeclaredState, ReplicaState
from permafrost.planning.release import Release
from permafrost.planning.snapshot import Inventory
from permafrost.topology import Node


@dataclass(frozen=True, slots=True)
class LiveState:
    """One snapshot. ``silent`` names the nodes that did not answer, with the reason.

    ``blind`` says why vCenter could not be asked; then nothing is known of VMs and hosts, and
    nothing is concluded from that.
    """

    inventory: Inventory = field(default_factory=Inventory)
    traffic: Traffic = field(default_factory=Traffic)
    nodes: Mapping[str, NodeFacts] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)
    declared: Mapping[str, Declared] = field(default_factory=dict)
    blind: tuple[Problem, ...] = ()
    releases: Mapping[str, Release] = field(default_factory=dict)

    def serves(self, replica: str) -> bool:
        """Whether clients' requests reach this replica on every edge, by our will too."""
        declared = self.declared.get(replica)
        return self.traffic.serves(replica) and not (declared is not None and declared.is_away)

    def is_gone(self, replica: str) -> bool:
        """Whether its machine cannot be working: no VM, no power, or its host is lost."""
        if self.blind:
            return False
        vm = self.inventory.vm(replica)
        if vm is None or not vm.is_on or not vm.is_connected:
            return True
        host = self.inventory.host(vm.host)
        return host is not None and not host.connected

    def state_of(self, node: Node) -> tuple[ReplicaState, str]:
        """Return a replica's state and why it is so (empty when there is nothing to say)."""
        declared = self.declared.get(node.name)
        if declared is not None and declared.is_away:
            sending = sorted({s.edge for s in self.traffic.of(node.name) if s.takes_requests})
            if sending:
                told = f"{', '.join(sending)} sends it requests nevertheless"
                return ReplicaState(declared.state.value), told
            return ReplicaState(declared.state.value), declared.reason
        without_machine = None if self.blind else self._without_machine(node.name)
        if without_machine is not None:
            return without_machine
        facts = self.nodes.get(node.name)
        if facts is None:
            reason = self.silent.get(node.name, "the node does not answer")
            return (ReplicaState.LOST if declared else ReplicaState.STARTING), reason
        if facts.state != "ADMITTED" and not self._shares(node):
            known = facts.state in (ReplicaState.STARTING, ReplicaState.OUT)
            return ReplicaState(facts.state) if known else ReplicaState.OUT, facts.reason
        if declared is None:
            return ReplicaState.STARTING, "not admitted yet"
        if declared.state is DeclaredState.OUT:
            return ReplicaState.OUT, declared.reason
        if not self.traffic.serves(node.name):
            return ReplicaState.OUT, self._why_not_served(node.name)
        return ReplicaState.ADMITTED, facts.reason

    def _shares(self, node: Node) -> bool:
        """Whether it answers a share of the requests from the slot beside the live one."""
        held, facts = self.releases.get(node.endpoint), self.nodes.get(node.name)
        if held is None or facts is None or not held.share:
            return False
        beside = facts.slots.get(held.spare)
        return beside is not None and beside.state == "ADMITTED"

    def in_flight(self, replica: str) -> int:
        """Return the requests under way: the larger of what edges and model server count."""
        facts = self.nodes.get(replica)
        return max(self.traffic.in_flight(replica), facts.in_flight if facts else 0)

    def _without_machine(self, replica: str) -> tuple[ReplicaState, str] | None:
        vm = self.inventory.vm(replica)
        if vm is None:
            return ReplicaState.LOST, "there is no VM"
        host = self.inventory.host(vm.host)
        if not vm.is_connected or (host is not None and not host.connected):
            return ReplicaState.LOST, f"host {vm.host} is not connected"
        if not vm.is_on:
            return ReplicaState.OUT, "the VM is powered off"
        return None

    def _why_not_served(self, replica: str) -> str:
        for server in self.traffic.of(replica):
            if server.is_live and not server.takes_requests:
                return f"{server.edge}: {server.check}, {server.admin.value}"
        for edge, reason in self.traffic.unreachable.items():
            return f"{edge}: {reason}"
        return "no edge knows it"
