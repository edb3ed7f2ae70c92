"""A simulated site whose slots are judged at every effect, and how it is brought back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address

from permafrost.engine.releases import as_served
from permafrost.engine.runs import Run
from permafrost.errors import PermafrostError, Refused
from permafrost.planning.release import Release
from permafrost.runbook.context import Context
from permafrost.runbook.deploy import execute, make_plan
from permafrost.runbook.edges import reassert_drains
from permafrost.runbook.maintenance import leave
from permafrost.runbook.recovery import (
    abort_run,
    require_nothing_unfinished,
    resume_run,
    run_named,
)
from permafrost.runbook.slots import routes
from permafrost.runbook.undrain import undrain_replica
from permafrost.topology import edges
from tests.fakes.provisioner import FakeProvisioner
from tests.fakes.site import small_site
from tests.properties.runbook_machine import (
    FLOOR,
    HOSTS,
    ME,
    REPLICAS,
    Runbooks,
)
from tests.properties.upgrade_judge import Judge

PLANTED = "sha256:" + "f" * 64
SLOT_COMMANDS = ("upgrade", "rollback", "retire")
ROUNDS = 4


class SlotSite(Runbooks):
    """Two edges with a shared address, and what is recorded of the endpoint's slots."""

    def open_slots(self) -> None:
        """Begin with a site where everything serves."""
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

    @property
    def held(self) -> Release:
        """What is recorded of the endpoint's slots."""
        return self.ctx.release("chat")

    def check_ready(self, target: str) -> None:
        """Judged once it is made, by slot and digest."""

    def see_edges(self, what: str, target: str) -> None:
        """Keep in mind that an edge may have missed what the others were told."""
        self.edges_forgot |= not all(self.world.works(e.name) for e in edges(self.world.site))

    def latest(self) -> Run | None:
        """Return the latest operation on slots."""
        return next(
            (r for r in self.ctx.store.runs.all() if r.plan.command in SLOT_COMMANDS), None
        )

    def _mend_planted(self, replica: str) -> None:
        machine, was = self.world.machines[replica], self.planted.pop((replica, "a"), "")
        if was and machine.has_first and machine.checkpoint == PLANTED:
            machine.checkpoint = was

    def _mend_checkpoints(self) -> None:
        world = self.world
        for bad in (world.wrong, world.failing, world.wedging, world.slow):
            bad.clear()

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
            self._or_anew(second, operation)

    def _or_anew(self, verb: Callable[[Context, str], object], operation: str) -> None:
        """Begin again what something later has overruled, as its message says."""
        try:
            verb(self.ctx, operation)
        except Refused as error:
            name = run_named(self.ctx, operation).plan.name
            if f"`permafrost {name}`" not in error.problems[0].hint:
                raise
            require_nothing_unfinished(self.ctx, name)

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
