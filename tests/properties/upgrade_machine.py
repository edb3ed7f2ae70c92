"""Upgrades of every way, rollback, retirement and deployment among all that the base does.

Two edges with a shared address, so that a switch may be cut between them. Judged at every effect
(``upgrade_judge``) and at rest: edges and nodes know the slots that are recorded. In the end,
once faults are healed, one of the ways that the messages name brings everything back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from permafrost.adapters.pulumi_stack.changes import Change
from permafrost.engine.releases import as_served
from permafrost.engine.runs import Run
from permafrost.errors import PermafrostError
from permafrost.planning.canary import Canary
from permafrost.planning.release import Release
from permafrost.planning.steps import OperationPlan, OperationStep
from permafrost.planning.upgrade import Strategy, Wish
from permafrost.runbook import upgrade as runbook
from permafrost.runbook.context import Context
from permafrost.runbook.converge import converge_node
from permafrost.runbook.deploy import execute, make_plan
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.edges import reassert_drains
from permafrost.runbook.maintenance import leave
from permafrost.runbook.recovery import (
    abort_run,
    require_nothing_unfinished,
    require_turn,
    resume_run,
)
from permafrost.runbook.slots import routes
from permafrost.runbook.turns import await_turn
from permafrost.runbook.undrain import undrain_replica
from permafrost.topology import edges
from tests.fakes.deployment import FakeProvisioner
from tests.fakes.killing import KillAt
from tests.fakes.site import small_site
from tests.properties.runbook_machine import (
    FLOOR,
    HOSTS,
    ME,
    PINNED,
    REPLICAS,
    Runbooks,
    cuts,
    replicas,
)
from tests.properties.upgrade_judge import Judge

NEW, THIRD, PLANTED = ("sha256:" + c * 64 for c in "cdf")
SLOT_COMMANDS = ("upgrade", "rollback", "retire")
ROUNDS = 4
CANARY = Canary(100, seconds=5, least_requests=2)
VM = "vsphere:index/virtualMachine:VirtualMachine"
SAME = {"memory": 4096, "memoryReservation": 4096, "firmware": "efi", "forcePowerOff": False}
kills = st.one_of(st.none(), st.integers(0, 130))
pauses = st.one_of(st.none(), st.none(), st.integers(0, 60))
ways = st.sampled_from([None, *Strategy])
wishes = st.builds(
    lambda way, canary, pins_s: Wish(
        ME, allow_mixed=way is Strategy.ROLLING, way=way, canary=canary, pins_s=pins_s
    ),
    ways,
    st.sampled_from([None, None, CANARY]),
    st.sampled_from([0.0, 3.0]),
)
checkpoints = st.sampled_from([PINNED, NEW, THIRD])


class Stop(KillAt):
    """Killed at a moment, or asked at one to pause before the next step."""

    def __init__(self, ctx: Context, kill: int | None, pause: int | None) -> None:
        super().__init__(kill)
        self.ctx, self.pause = ctx, pause

    def __call__(self, command: str, step: OperationStep, when: str) -> None:
        if self.pause is not None and self.passed == self.pause:
            self.ctx.store.runs.wish_pause(self.ctx.store.runs.all(1)[0].operation)
        super().__call__(command, step, when)


class Upgrades(Runbooks):
    """One endpoint of four replicas, of which two must serve: every way to upgrade is open."""

    @initialize(first=st.one_of(st.none(), wishes))
    def deploy(self, first: Wish | None = None) -> None:
        """A site where everything serves, perhaps since an upgrade."""
        site = small_site(
            chat={"replicas": 4, "min_ready": FLOOR, "drain_deadline_s": 5},
            pulse={"replicas": 1, "min_ready": 1},
        )
        two = site.edge.model_copy(update={"nodes": 2, "vip": IPv4Address("10.64.1.10")})
        self.open(site.model_copy(update={"edge": two}))
        self.pinned = self.ctx.loaded
        self.judge = Judge(self.world, "chat", FLOOR, lambda: self.held.slots.values())
        self.judge.watch()
        self.world.witnesses.append(self.see_edges)
        self.planted: dict[tuple[str, str], str] = {}
        self.edges_forgot = False
        if first is not None:
            runbook.upgrade(self.ctx, "chat", THIRD, first)

    @property
    def held(self) -> Release:
        """What is recorded of the endpoint's slots."""
        return self.ctx.release("chat")

    def check_ready(self, target: str) -> None:
        """Judged once it is made, by slot and digest."""

    def run(self, work: Callable[[Context], object], kill: int | None, cut: int | None) -> None:
        """Run an operation as a process of its own does: the site is as it is served."""
        self.ctx.loaded = as_served(self.ctx.store, self.pinned)
        super().run(work, kill, cut)

    def change(
        self,
        verb: str,
        preview: Callable[[Context], OperationPlan],
        carry_out: Callable[[Context, str], object],
        stops: tuple[int | None, int | None, int | None],
    ) -> None:
        """Plan, show, carry out, as these commands do."""
        kill, cut, pause = stops

        def work(ctx: Context) -> None:
            require_turn(ctx, f"{verb} chat")
            shown = preview(ctx).fingerprint
            require_nothing_unfinished(ctx, f"{verb} chat")
            ctx.crash = Stop(ctx, kill, pause)
            carry_out(ctx, shown)

        self.run(work, None, cut)

    @rule(to=checkpoints, wish=wishes, kill=kills, cut=cuts, pause=pauses)
    def upgrade(
        self, to: str, wish: Wish, kill: int | None, cut: int | None, pause: int | None
    ) -> None:
        """As the command does it."""
        self.change(
            "upgrade",
            lambda ctx: runbook.preview_upgrade(ctx, "chat", to, wish),
            lambda ctx, shown: runbook.upgrade(ctx, "chat", to, wish, shown=shown),
            (kill, cut, pause),
        )

    @rule(to=checkpoints, wish=wishes, stop=st.integers(0, 130), in_effect=st.booleans())
    def upgrade_and_be_killed(self, to: str, wish: Wish, stop: int, in_effect: bool) -> None:
        """Undisturbed until then, so that it gets there."""
        self._mend_checkpoints()
        kill, cut = (None, stop // 2) if in_effect else (stop, None)
        self.upgrade(to, wish, kill, cut, None)

    @precondition(lambda self: self.held.kept or self.held.previous)
    @rule(wish=wishes, kill=kills, cut=cuts, pause=pauses)
    def rollback(self, wish: Wish, kill: int | None, cut: int | None, pause: int | None) -> None:
        """As the command does it: a switch where that is enough."""
        wish = replace(wish, canary=None)
        self.change(
            "rollback",
            lambda ctx: runbook.preview_rollback(ctx, "chat", wish),
            lambda ctx, shown: runbook.rollback(ctx, "chat", owner=ME, wish=wish, shown=shown),
            (kill, cut, pause),
        )

    @precondition(lambda self: self.held.kept)
    @rule(kill=kills, cut=cuts, pause=pauses)
    def retire(self, kill: int | None, cut: int | None, pause: int | None) -> None:
        """As the command does it."""
        self.change(
            "retire",
            lambda ctx: runbook.preview_retire(ctx, "chat"),
            lambda ctx, shown: runbook.retire(ctx, "chat", owner=ME, shown=shown),
            (kill, cut, pause),
        )

    @rule(changed=st.one_of(st.none(), replicas), cut=cuts)
    def deploy_again(self, changed: str | None, cut: int | None) -> None:
        """As the command does it; it may power-cycle a replica, by Pulumi's hooks."""

        def work(ctx: Context) -> None:
            made = ctx.provisioner
            assert isinstance(made, FakeProvisioner)
            if changed is not None:
                told = [{"numCpus": n, **SAME} for n in (4, 8)]
                made.changes = (Change("update", VM, changed, {"numCpus": "update"}, *told),)
                made.on_up = lambda: self.cycle(ctx, changed)
            execute(ctx, make_plan(ctx))
            self.edges_forgot = False

        self.cycled = changed or ""
        self.run(work, None, cut)
        self.cycled = ""

    def cycle(self, ctx: Context, replica: str) -> None:
        """What the hooks around a change of a VM do."""
        await_turn(ctx, replica, "pulumi", deadline_s=2)
        drain_replica(ctx, replica, owner="pulumi")
        machine = self.world.machines[replica]
        assert machine.requests == [], f"{replica} is powered off with requests in flight"
        ctx.hypervisor.power_off(replica, deadline_s=1)
        ctx.hypervisor.power_on(replica, deadline_s=1)
        converge_node(ctx, replica, vm="u", fingerprint="f", turn_deadline_s=2)

    @rule(checkpoint=st.sampled_from([NEW, THIRD]), harm=st.sampled_from(
        ["none", "wrong", "failing", "slow", "wedging"]))  # fmt: skip
    def a_checkpoint_is_bad(self, checkpoint: str, harm: str) -> None:
        """Its answers, its errors, its times, or its gate once it has answered."""
        self._mend_checkpoints()
        if harm == "slow":
            self.world.slow[checkpoint] = 1000
        elif harm != "none" and not self._answers(checkpoint):
            getattr(self.world, harm).add(checkpoint)

    @rule(to=checkpoints, wish=wishes, harm=st.sampled_from(["wrong", "wedging", "failing"]))
    def upgrade_to_a_bad_one(self, to: str, wish: Wish, harm: str) -> None:
        """It fails on the way, and what comes next finds it so."""
        self.a_checkpoint_is_bad(to, harm)
        self.upgrade(to, wish, None, None, None)

    @rule()
    def all_is_mended(self) -> None:
        """Everything is brought back, and the story goes on from there."""
        self._heal()
        self._recover()

    def _answers(self, checkpoint: str) -> bool:
        return checkpoint in self.world.answers("chat")

    def _mend_checkpoints(self) -> None:
        world = self.world
        for bad in (world.wrong, world.failing, world.wedging, world.slow):
            bad.clear()

    @rule(replica=replicas, is_right=st.booleans())
    def a_checkpoint_is_planted_or_mended(self, replica: str, is_right: bool) -> None:
        """What no edge sends requests may hold other bytes when it comes back."""
        machine = self.world.machines[replica]
        away = not any(replica in self.judge.ready_at(e) for e in self.judge.edges())
        if is_right:
            self._mend_planted(replica)
        elif away and machine.has_first and machine.checkpoint != PLANTED:
            self.planted[replica, "a"], machine.checkpoint = machine.checkpoint, PLANTED

    def _mend_planted(self, replica: str) -> None:
        machine, was = self.world.machines[replica], self.planted.pop((replica, "a"), "")
        if was and machine.has_first and machine.checkpoint == PLANTED:
            machine.checkpoint = was

    @rule(edge=st.sampled_from(["lab-edge-01", "lab-edge-02"]), silent=st.booleans())
    def an_edge_is_silent_or_answers(self, edge: str, silent: bool) -> None:
        """It goes on as it was told."""
        (self.world.edges_down.add if silent else self.world.edges_down.discard)(edge)

    def see_edges(self, what: str, target: str) -> None:
        """Keep in mind that an edge may have missed what the others were told."""
        self.edges_forgot |= not all(self.world.works(e.name) for e in edges(self.world.site))

    def latest(self) -> Run | None:
        """Return the latest operation on slots."""
        return next(
            (r for r in self.ctx.store.runs.all() if r.plan.command in SLOT_COMMANDS), None
        )

    @invariant()
    def edges_and_nodes_know_what_is_recorded(self) -> None:
        """At rest: after what was finished or taken back."""
        if not hasattr(self, "judge"):
            return
        latest = self.latest()
        if latest is None or not latest.state.is_over:
            return
        self.check_rest()

    def check_rest(self) -> None:
        """Edges and nodes know what is recorded."""
        wanted = routes(self.ctx)
        for edge, told in self.world.routes.items():
            if self.world.works(edge) and not self.edges_forgot:
                assert told == wanted, f"{edge} knows {told}, recorded is {wanted}"
        for name in REPLICAS:
            if (name, "a") not in self.planted:
                seen = {s: self.world.slot_state(name, s)[1] for s in "ab"}
                seen = {s: digest for s, digest in seen.items() if digest}
                assert seen == dict(self.held.slots), f"{name} holds {seen}"

    def _heal(self) -> None:
        self._mend_checkpoints()
        self.world.edges_down.clear()
        super()._heal()
        for name in REPLICAS:
            beside = self.world.machines[name].beside
            if beside is not None:
                beside.requests.clear()
                if beside.state == "OUT":
                    beside.state = "STARTING"
        self.world.pass_time(5)

    def _mend_bytes(self, name: str) -> None:
        self._mend_planted(name)

    def _recover(self) -> None:
        """Each way that a message names, until everything is well: it takes a few at most."""
        said: list[PermafrostError] = []
        for _ in range(ROUNDS):
            said.clear()
            for way in self._ways_back():
                try:
                    self.ctx.loaded = as_served(self.ctx.store, self.pinned)
                    way()
                except PermafrostError as error:
                    said.append(error)
            if not said:
                break
        assert not said, "\n".join(str(error) for error in said)
        self.check_rest()
        for edge in self.judge.serving():
            assert self.judge.serving()[edge] == set(REPLICAS)
        assert self.world.answers("chat") == {self.held.checkpoint}

    def _ways_back(self) -> list[Callable[[], object]]:
        ctx, verbs = self.ctx, [abort_run, resume_run]
        if len(self.world.effects) % 2:
            verbs.reverse()
        latest = self.latest()
        runs = [r for r in ctx.store.runs.all() if r in ctx.store.runs.unfinished() or r == latest]
        found: list[Callable[[], object]] = [
            partial(self._either, verbs, run.operation) for run in runs if not run.state.is_over
        ]
        for record in ctx.store.maintenance.all():
            found.append(partial(leave, ctx, record.host, owner=ME))
        found.append(self._start_all)
        for host in HOSTS:
            if self.world.hosts[host].in_maintenance:
                found.append(partial(leave, ctx, host, owner=ME))
        found.append(partial(reassert_drains, ctx))
        found += [partial(undrain_replica, ctx, name, owner=ME) for name in REPLICAS]
        return [*found, self._deploy]

    def _either(self, verbs: list[Callable[[Context, str], object]], operation: str) -> None:
        """Finish it or take it back: where one is refused, the other must do."""
        first, second = verbs
        try:
            first(self.ctx, operation)
        except PermafrostError as error:
            for problem in error.problems:
                assert problem.hint, problem
            second(self.ctx, operation)

    def _start_all(self) -> None:
        for machine in self.world.machines.values():
            self.world.power_on(machine.name, boot_s=1)
        self.world.pass_time(2)

    def _deploy(self) -> None:
        made = self.ctx.provisioner
        assert isinstance(made, FakeProvisioner)
        made.changes = ()
        assert execute(self.ctx, make_plan(self.ctx))["healthy"]
        self.edges_forgot = False
