"""Upgrades of every way, rollback, retirement and deployment among all that the base does.

Two edges with a shared address, so that a switch may be cut between them. Judged at every effect
(``upgrade_judge``) and at rest: edges and nodes know the slots that are recorded. In the end,
once faults are healed, one of the ways that the messages name brings everything back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from permafrost.adapters.pulumi_stack.changes import Change
from permafrost.engine.releases import as_served
from permafrost.planning.canary import Canary
from permafrost.planning.steps import OperationPlan, OperationStep
from permafrost.planning.upgrade import Wish
from permafrost.planning.upgrade_words import Strategy
from permafrost.runbook import upgrade as runbook
from permafrost.runbook.context import Context
from permafrost.runbook.converge import converge_node
from permafrost.runbook.deploy import execute, make_plan
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.recovery import (
    require_nothing_unfinished,
    require_turn,
)
from permafrost.runbook.turns import await_turn
from tests.fakes.killing import KillAt
from tests.fakes.provisioner import FakeProvisioner
from tests.properties.runbook_machine import (
    ME,
    PINNED,
    cuts,
    replicas,
)
from tests.properties.slot_site import PLANTED, SlotSite

NEW, THIRD = ("sha256:" + c * 64 for c in "cd")
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


class Upgrades(SlotSite):
    """One endpoint of four replicas, of which two must serve: every way to upgrade is open."""

    @initialize(first=st.one_of(st.none(), wishes))
    def deploy(self, first: Wish | None = None) -> None:
        """A site where everything serves, perhaps since an upgrade."""
        self.open_slots()
        if first is not None:
            runbook.upgrade(self.ctx, "chat", THIRD, first)

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

        self.run(work, None, cut)
        self.cycled = ""

    def cycle(self, ctx: Context, replica: str) -> None:
        """What the hooks around a change of a VM do."""
        await_turn(ctx, replica, "pulumi", deadline_s=2)
        drain_replica(ctx, replica, owner="pulumi")
        machine, self.cycled = self.world.machines[replica], replica
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

    @rule(replica=replicas, is_right=st.booleans())
    def a_checkpoint_is_planted_or_mended(self, replica: str, is_right: bool) -> None:
        """What no edge sends requests may hold other bytes when it comes back."""
        machine = self.world.machines[replica]
        away = not any(replica in self.judge.ready_at(e) for e in self.judge.edges())
        if is_right:
            self._mend_planted(replica)
        elif away and machine.has_first and machine.checkpoint != PLANTED:
            self.planted[replica, "a"], machine.checkpoint = machine.checkpoint, PLANTED

    @rule(edge=st.sampled_from(["lab-edge-01", "lab-edge-02"]), silent=st.booleans())
    def an_edge_is_silent_or_answers(self, edge: str, silent: bool) -> None:
        """It goes on as it was told."""
        (self.world.edges_down.add if silent else self.world.edges_down.discard)(edge)

    @invariant()
    def edges_and_nodes_know_what_is_recorded(self) -> None:
        """At rest: after what was finished or taken back."""
        if not hasattr(self, "judge"):
            return
        latest = self.latest()
        if latest is None or not latest.state.is_over:
            return
        self.check_rest()
