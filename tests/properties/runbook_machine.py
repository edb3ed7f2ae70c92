"""Operations, kills, recovery and faults in any order, over a simulated site.

Checked at every effect that reaches the world, against the world and not against the product's
own view:

- an edge is told to take a replica away only while ``min_ready`` others serve, or when it serves
  nobody;
- a guest is shut down only when nobody is served by it and nothing is in flight;
- a host is emptied or closed only while no other is away by our doing;
- an edge is told to send requests only to what has proven itself, with the pinned digest;
- no DONE without its INTENT; receipts form a chain.

In the end, once faults are healed, what is unfinished is finished or taken back, every host comes
back, and everything serves.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from permafrost.engine.state import DeclaredState, Phase
from permafrost.errors import PermafrostError
from permafrost.planning.placement import Slot
from permafrost.runbook.context import Context
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.edges import reassert_drains
from permafrost.runbook.maintenance import enter, leave
from permafrost.runbook.recovery import abort_run, require_nothing_unfinished, resume_run
from permafrost.runbook.undrain import undrain_replica
from permafrost.site.model import Site
from tests.fakes.killing import KillAt
from tests.fakes.site import context, small_site
from tests.fakes.world import Cut, World

ME = "operator:me"
FLOOR = 2
PINNED = "sha256:" + "a" * 64
REPLICAS = [f"lab-chat-{i:02}" for i in (1, 2, 3, 4)]
HOSTS = [f"lab-esx-{i:02}" for i in (1, 2, 3, 4)]
replicas = st.sampled_from(REPLICAS)
hosts = st.sampled_from(HOSTS)
kills = st.one_of(st.none(), st.integers(0, 30))
cuts = st.one_of(st.none(), st.none(), st.integers(0, 6))


class Runbooks(RuleBasedStateMachine):
    """One endpoint of four replicas on four hosts, of which two must serve."""

    cycled = ""
    """The replica whose VM a deployment is changing."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        at = memory if memory.is_dir() else None
        self.folder = Path(tempfile.mkdtemp(prefix="permafrost-", dir=at))

    @initialize()
    def deploy(self) -> None:
        """A site where everything serves."""
        site = small_site(
            chat={"replicas": 4, "min_ready": FLOOR, "drain_deadline_s": 5},
            pulse={"replicas": 1, "min_ready": 1},
        )
        self.open(site)

    def open(self, site: Site) -> None:
        """Begin with a site where everything serves, each effect judged."""
        # Nothing else stands in the way of a host: pulse may be away.
        site.inference["pulse"].__dict__["min_ready"] = 0
        self.world = World.of(site, hosts=4)
        self.world.watchers.append(self.check_effect)
        self.ctx: Context = context(self.folder / "state", self.world)
        self.ctx.store.record_placement(
            {
                m.name: Slot(m.host, self.world.hosts[m.host].moid, m.gpus)
                for m in self.world.machines.values()
            }
        )

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
            alone = not away and target == self.cycled
            assert away == {machine.host} or alone, f"{target} is shut down, away are {away}"
        if what == "enter-maintenance":
            closed = {h.name for h in self.world.hosts.values() if h.in_maintenance}
            assert closed <= {target}, f"{target} is closed beside {closed}"
            assert away == {target}
        if what == "edge-ready" and target in REPLICAS:
            self.check_ready(target)

    def check_ready(self, target: str) -> None:
        """Judge what edges are about to send requests to."""
        machine = self.world.machines[target]
        assert machine.state == "ADMITTED", f"{target} not proven"
        assert machine.checkpoint == PINNED, f"{target} serves {machine.checkpoint}"

    def run(self, work: Callable[[Context], object], kill: int | None, cut: int | None) -> None:
        """Run an operation; it may be killed at a moment of a step or in mid-effect."""
        self.ctx.crash = KillAt(kill)
        self.world.cut_in = cut
        try:
            with suppress(PermafrostError):
                work(self.ctx)
        except Cut:
            self.ctx = context(self.folder / "state", self.world)
        finally:
            self.world.cut_in = None

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

        self.run(work, kill, cut)

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

    @rule(host=hosts)
    def lose_a_host(self, host: str) -> None:
        """Silent and whole."""
        self.world.hosts[host] = replace(self.world.hosts[host], connected=False)
        for machine in self.world.machines.values():
            if machine.host == host:
                machine.requests.clear()
                if machine.beside is not None:
                    machine.beside.requests.clear()

    @rule(host=hosts)
    def a_host_returns(self, host: str) -> None:
        """With its machines as they were."""
        self.world.hosts[host] = replace(self.world.hosts[host], connected=True)

    @rule(replica=replicas)
    def a_model_server_fails(self, replica: str) -> None:
        """Its node takes it out by itself."""
        self.world.machines[replica].state = "OUT"
        self.world.machines[replica].requests.clear()

    @rule(replica=replicas, is_right=st.booleans())
    def a_checkpoint_is_planted_or_mended(self, replica: str, is_right: bool) -> None:
        """What is not in rotation may hold other bytes when it comes back."""
        if not self.world.takes_requests(replica):
            digest = PINNED if is_right else "sha256:" + "b" * 64
            self.world.machines[replica].checkpoint = digest

    @rule(replica=replicas, passes=st.booleans())
    def a_disk_rots_or_is_mended(self, replica: str, passes: bool) -> None:
        """Seen at the next probe."""
        self.world.machines[replica].passes_probe = passes

    @rule(down=st.booleans())
    def vcenter_goes_or_comes(self, down: bool) -> None:
        """It is not needed for serving."""
        self.world.vcenter_down = down

    @rule(seconds=st.sampled_from([0.2, 1, 5]), length=st.sampled_from([0.5, 2, 30]))
    def time_passes(self, seconds: float, length: float) -> None:
        """Requests come and go; long ones outlast a drain's deadline."""
        self.world.request_s = length
        self.world.pass_time(seconds)

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

    def _heal(self) -> None:
        self.ctx.crash = KillAt()
        self.world.vcenter_down = False
        self.world.request_s = 0.5
        for name in HOSTS:
            self.world.hosts[name] = replace(self.world.hosts[name], connected=True)
        for name in REPLICAS:
            machine = self.world.machines[name]
            machine.passes_probe = True
            self._mend_bytes(name)
            machine.requests.clear()
            if machine.is_on and machine.state == "OUT" and self.world.works(name):
                machine.state = "ADMITTED"
        self.world.pass_time(5)

    def _mend_bytes(self, name: str) -> None:
        self.world.machines[name].checkpoint = PINNED

    def _recover(self) -> None:
        for run in self.ctx.store.runs.unfinished():
            abort_run(self.ctx, run.operation)
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
