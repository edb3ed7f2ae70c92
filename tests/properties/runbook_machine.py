"""Operations, kills, recovery and faults in any order, over a simulated site.

Checked at every effect that reaches the world, against the world and not against the product's
own view:

- an edge is told to take a replica away only while ``min_ready`` others serve, or when it serves
  nobody;
- a guest is shut down only when nobody is served by it and nothing is in flight;
- a host is emptied or closed only while no other is away by our doing; one that died meanwhile
  and was left is lost, not away, and none is begun with while it is back and closed;
- an edge is told to send requests only to what has proven itself, with the pinned digest;
- no DONE without its INTENT; receipts form a chain.

In the end, once faults are healed, what is unfinished is taken back, or finished where a refusal
says so, every host comes back, and everything serves.
"""

from __future__ import annotations

import shutil

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from permafrost.engine.state import DeclaredState, Phase
from permafrost.errors import Refused
from permafrost.runbook.context import Context
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.edges import reassert_drains
from permafrost.runbook.maintenance import enter, leave
from permafrost.runbook.recovery import abort_run, require_nothing_unfinished, resume_run
from permafrost.runbook.undrain import undrain_replica
from tests.fakes.site import small_site
from tests.properties.simulated_site import (
    FLOOR,
    HOSTS,
    ME,
    PINNED,
    REPLICAS,
    SimulatedSite,
    cuts,
    hosts,
    kills,
    replicas,
)


class Runbooks(SimulatedSite):
    """One endpoint of four replicas on four hosts, of which two must serve."""

    @initialize()
    def deploy(self) -> None:
        """A site where everything serves."""
        site = small_site(
            chat={"replicas": 4, "min_ready": FLOOR, "drain_deadline_s": 5},
            pulse={"replicas": 1, "min_ready": 1},
        )
        self.open(site)

    def check_effect(self, what: str, target: str) -> None:
        """Judge one effect, just before it is made."""
        serving = self.world.serving("chat")
        machine = self.world.machines.get(target)
        away = {r.host for r in self.ctx.store.maintenance.all()}
        if what == "edge-drain" and target in serving:
            assert len(serving - {target}) >= FLOOR, f"{target} taken away below min_ready"
        if what in ("shut-down", "power-off") and machine is not None:
            assert target not in serving, f"{target} is shut down while it serves"
            assert machine.requests == [], f"{target} is shut down with requests in flight"
            if target != self.cycled:
                assert away == {machine.host}, f"{target} is shut down, away are {away}"
        if what == "enter-maintenance":
            self.died_closed.discard(target)
            closed = {h.name for h in self.world.hosts.values() if h.in_maintenance}
            beside = closed - self.died_closed
            assert beside <= {target}, f"{target} is closed beside {beside}"
            assert away == {target}
        if what == "edge-ready" and target in REPLICAS:
            self.check_ready(target)

    def check_ready(self, target: str) -> None:
        """Judge what edges are about to send requests to."""
        machine = self.world.machines[target]
        assert machine.state == "ADMITTED", f"{target} not proven"
        assert machine.checkpoint == PINNED, f"{target} serves {machine.checkpoint}"

    @rule(replica=replicas, kill=kills, cut=cuts)
    def drain(self, replica: str, kill: int | None, cut: int | None) -> None:
        """As the command does it."""

        def work(ctx: Context) -> None:
            require_nothing_unfinished(ctx, f"drain {replica}")
            drain_replica(ctx, replica, owner=ME)

        self.run(work, kill, cut)

    @rule(replica=replicas, kill=kills, cut=cuts)
    def undrain(self, replica: str, kill: int | None, cut: int | None) -> None:
        """As the command does it."""

        def work(ctx: Context) -> None:
            require_nothing_unfinished(ctx, f"undrain {replica}")
            undrain_replica(ctx, replica, owner=ME)

        self.run(work, kill, cut)

    @rule(host=hosts, kill=kills, cut=cuts)
    def enter(self, host: str, kill: int | None, cut: int | None) -> None:
        """As the command does it."""

        def work(ctx: Context) -> None:
            require_nothing_unfinished(ctx, f"maintenance enter {host}")
            enter(ctx, host, owner=ME)

        others = [h for h in self.world.hosts.values() if h.name != host]
        is_another_closed = any(h.in_maintenance and h.connected for h in others)
        begun = len(self.world.effects)
        self.run(work, kill, cut)
        if is_another_closed:
            done = self.world.effects[begun:]
            assert not done, f"{host} is begun with beside a closed host: {done}"

    @precondition(lambda self: self.ctx.store.maintenance.all())
    @rule(kill=kills, cut=cuts)
    def leave(self, kill: int | None, cut: int | None) -> None:
        """As the command does it."""
        host = self.ctx.store.maintenance.all()[0].host

        def work(ctx: Context) -> None:
            require_nothing_unfinished(ctx, f"maintenance exit {host}")
            leave(ctx, host, owner=ME)

        self.run(work, kill, cut)

    @precondition(lambda self: self.ctx.store.runs.all(1))
    @rule(kill=kills, cut=cuts, back=st.booleans())
    def recover(self, kill: int | None, cut: int | None, back: bool) -> None:
        """Finish or take back the latest operation, or try to."""
        operation = self.ctx.store.runs.all(1)[0].operation
        verb = abort_run if back else resume_run
        self.run(lambda ctx: verb(ctx, operation), kill, cut)

    @invariant()
    def no_done_without_intent(self) -> None:
        """Evidence follows an intent."""
        if not hasattr(self, "ctx"):
            return
        begun: set[tuple[str, str]] = set()
        for entry in self.ctx.store.journal():
            if entry.phase is Phase.INTENT:
                begun.add((entry.operation, entry.step))
            elif entry.phase is not Phase.ALREADY:
                assert (entry.operation, entry.step) in begun

    @invariant()
    def one_failure_domain_at_a_time(self) -> None:
        """Never two hosts away by our doing."""
        if hasattr(self, "ctx"):
            assert len(self.ctx.store.maintenance.all()) <= 1

    def teardown(self) -> None:
        """Heal, recover, bring everything back."""
        if hasattr(self, "world"):
            self._heal()
            self._recover()
            assert self.world.serving("chat") == set(REPLICAS)
            assert self.ctx.store.maintenance.all() == ()
            assert not any(h.in_maintenance for h in self.world.hosts.values())
            assert self.ctx.store.receipts.verify()[1] == ()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, operation: str) -> None:
        """Take it back; finish it where the refusal says so: what came back with it is needed."""
        try:
            abort_run(self.ctx, operation)
        except Refused as refusal:
            if f"`permafrost resume {operation}` finishes it" not in str(refusal):
                raise
            resume_run(self.ctx, operation)

    def _recover(self) -> None:
        for run in self.ctx.store.runs.unfinished():
            self._end(run.operation)
        for record in self.ctx.store.maintenance.all():
            leave(self.ctx, record.host, owner=ME)
        for host in HOSTS:
            if self.world.hosts[host].in_maintenance:  # it died in maintenance and came back
                leave(self.ctx, host, owner=ME)
        for machine in self.world.machines.values():
            self.world.power_on(machine.name, boot_s=1)
        self.world.pass_time(2)
        reassert_drains(self.ctx)
        for name in REPLICAS:
            undrain_replica(self.ctx, name, owner=ME)
        assert all(self.ctx.store.declared()[n].state is DeclaredState.ADMITTED for n in REPLICAS)
