"""Drain, undrain, programs, faults, crashes and resumption, in any order.

Invariants, checked at every effect that reaches the world:

- an edge is told to take a replica away only while ``min_ready`` others serve, or when the
  replica serves nobody;
- an edge is told to send a replica requests only after its probe has passed;
- what is called DRAINED has nothing in flight;
- no DONE without its INTENT; and once faults are healed, everything can be brought back.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from permafrost.engine.state import DeclaredState, Phase
from permafrost.errors import PermafrostError
from permafrost.facts import ServerState
from permafrost.runbook.admit import admit_replica
from permafrost.runbook.context import Context
from permafrost.runbook.converge import converge_node
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.edges import reassert_drains
from permafrost.runbook.turns import await_turn
from permafrost.runbook.undrain import undrain_replica
from permafrost.topology import nodes
from tests.fakes.site import context, small_site
from tests.fakes.world import Cut, World
from tests.properties.machines import Runs, in_parts, run_machine

EDGES = ["lab-edge-01", "lab-edge-02"]
edge_names = st.sampled_from(EDGES)
REPLICAS = [f"lab-chat-{i:02}" for i in (1, 2, 3, 4)]
replicas = st.sampled_from(REPLICAS)
cuts = st.one_of(st.none(), st.none(), st.integers(0, 8))


class Operations(RuleBasedStateMachine):
    """One endpoint of four replicas, of which two must serve."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="permafrost-", dir=_memory()))
        self.told_ready: set[str] = set()

    @initialize()
    def deploy(self) -> None:
        site = small_site(
            chat={"replicas": 4, "min_ready": 2, "drain_deadline_s": 5},
            pulse={"replicas": 1, "min_ready": 1},
        )
        two = site.edge.model_copy(update={"nodes": 2, "vip": IPv4Address("10.64.1.10")})
        self.world = World.of(site.model_copy(update={"edge": two}), hosts=4)
        self.world.watchers.append(self.check_effect)
        self.ctx: Context = context(self.folder / "state", self.world)

    def check_effect(self, what: str, target: str) -> None:
        serving = self.world.serving("chat")
        if what == "edge-drain" and target in serving:
            assert len(serving - {target}) >= 2, f"{target} taken away below min_ready"
        if what == "edge-ready":
            assert self.world.machines[target].state == "ADMITTED", f"{target} not probed"

    def run(self, work: object, cut: int | None) -> None:
        """Run an operation; it may be cut, after which a new process opens the site."""
        self.world.cut_in = cut
        try:
            with suppress(PermafrostError):
                work()  # type: ignore[operator]
        except Cut:
            self.ctx = context(self.folder / "state", self.world)
        finally:
            self.world.cut_in = None

    @rule(replica=replicas, cut=cuts)
    def drain(self, replica: str, cut: int | None) -> None:
        self.run(lambda: drain_replica(self.ctx, replica, owner="operator:me"), cut)

    @rule(replica=replicas, cut=cuts)
    def undrain(self, replica: str, cut: int | None) -> None:
        self.run(lambda: undrain_replica(self.ctx, replica, owner="operator:me"), cut)

    @rule(replica=replicas, cut=cuts)
    def a_program_changes_its_vm(self, replica: str, cut: int | None) -> None:
        def work() -> None:
            await_turn(self.ctx, replica, "pulumi", deadline_s=2)
            drain_replica(self.ctx, replica, owner="pulumi")
            machine = self.world.machines[replica]
            declared = self.ctx.store.declared()[replica]
            assert declared.is_away
            assert machine.requests == [], "powered off with requests in flight"
            self.ctx.hypervisor.power_off(replica, deadline_s=1)
            self.ctx.hypervisor.power_on(replica, deadline_s=1)
            converge_node(self.ctx, replica, vm="u", fingerprint="f", turn_deadline_s=2)

        self.run(work, cut)

    @rule(edge=edge_names, cut=cuts)
    def configure_an_edge(self, edge: str, cut: int | None) -> None:
        self.run(lambda: converge_node(self.ctx, edge), cut)

    @rule(replica=replicas)
    def lose_a_machine(self, replica: str) -> None:
        self.world.power_off(replica)

    @rule(replica=replicas)
    def a_machine_comes_back(self, replica: str) -> None:
        self.world.power_on(replica)

    @rule(replica=replicas, passes=st.booleans())
    def a_disk_rots_or_is_mended(self, replica: str, passes: bool) -> None:
        self.world.machines[replica].passes_probe = passes

    @rule(replica=replicas)
    def a_model_server_fails(self, replica: str) -> None:
        self.world.machines[replica].state = "OUT"
        self.world.machines[replica].requests.clear()

    @rule(edge=edge_names)
    def an_edge_stops_answering(self, edge: str) -> None:
        self.world.edges_down.add(edge)

    @rule()
    def the_edges_answer_again(self) -> None:
        self.world.edges_down.clear()

    @rule(edge=edge_names)
    def an_edge_is_lost(self, edge: str) -> None:
        self.world.power_off(edge)

    @rule(edge=edge_names)
    def a_lost_edge_comes_back(self, edge: str) -> None:
        self.world.power_on(edge)

    @rule(seconds=st.sampled_from([0.2, 1, 5]), length=st.sampled_from([0.5, 2, 30]))
    def time_passes(self, seconds: float, length: float) -> None:
        self.world.request_s = length
        self.world.pass_time(seconds)

    @invariant()
    def drained_is_idle(self) -> None:
        if not hasattr(self, "world"):
            return
        for name, declared in self.ctx.store.declared().items():
            machine = self.world.machines[name]
            if declared.state is DeclaredState.DRAINED and not self.world.takes_requests(name):
                assert machine.requests == [], name

    @invariant()
    def no_done_without_intent(self) -> None:
        if not hasattr(self, "world"):
            return
        begun: set[tuple[str, str]] = set()
        for entry in self.ctx.store.journal():
            if entry.phase is Phase.INTENT:
                begun.add((entry.operation, entry.kind))
            elif entry.phase is not Phase.ALREADY:
                assert (entry.operation, entry.kind) in begun

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self._heal()
            for name in REPLICAS:
                admit_replica(self.ctx, name, owner="operator:me")
            assert self.world.serving("chat") == set(REPLICAS)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _heal(self) -> None:
        self.world.edges_down.clear()
        self.world.watchers.clear()
        for node in nodes(self.world.site):
            self.world.machines[node.name].passes_probe = True
            self.world.power_on(node.name, boot_s=1)
        self.world.pass_time(4)  # a machine that was just starting has started too
        for name in REPLICAS:  # so that no drain that is set again falls below min_ready
            if not self.ctx.store.declared()[name].is_away:
                admit_replica(self.ctx, name, owner="operator:me")
        reassert_drains(self.ctx)
        serving = self.world.serving("chat")
        for (_, name), state in self.world.edge_state.items():
            declared = self.ctx.store.declared().get(name)
            if declared is not None and declared.is_away:
                is_needed = len(serving - {name}) < 2
                assert state is ServerState.DRAIN or is_needed, f"{name} gets requests"


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


@pytest.mark.parametrize("runs", in_parts(Runs(18, 20), Runs(150, 20), parts=4))
def test_drains_in_any_order(runs: Runs, commit_seed: int) -> None:
    run_machine(Operations, runs, commit_seed)
