"""How each step on a host or a VM is done, and how it is known to be done."""

from __future__ import annotations

from dataclasses import dataclass

from permafrost.engine.executor import Evidence
from permafrost.engine.state import DeclaredState
from permafrost.engine.timestamps import now_text
from permafrost.errors import Failed, Problem, Refused
from permafrost.planning.force import Force, force_of
from permafrost.planning.invariants import domain_problems, takes_requests
from permafrost.planning.lifecycle import MaintenanceRecord, MaintenanceState
from permafrost.planning.live import LiveState
from permafrost.planning.snapshot import HostFacts, VmFacts
from permafrost.planning.steps import OperationStep
from permafrost.runbook.context import Context
from permafrost.runbook.idle import await_idle
from permafrost.topology import nodes

QUIET_S = 60.0


@dataclass
class HostAction:
    """What all these steps know."""

    ctx: Context
    step: OperationStep
    operation: str

    def vm(self) -> VmFacts | None:
        """Return the VM that the step is about."""
        return self.ctx.hypervisor.observe().vm(self.step.target)

    def host(self) -> HostFacts | None:
        """Return the host that the step is about."""
        return self.ctx.hypervisor.observe().host(self.step.target)

    def already(self) -> Evidence | None:
        """Nothing is known to be done beforehand."""
        return None

    def do(self) -> None:
        """Make the effect: each kind of step has its own."""
        raise NotImplementedError

    def confirm(self) -> Evidence:
        """Return the evidence of the postcondition; Failed when it does not hold."""
        evidence = self.already()
        if evidence is None:
            raise Failed(
                Problem(
                    "STEP_NOT_CONFIRMED",
                    f"{self.step.kind} was done and is not seen",
                    self.step.target,
                    f"`permafrost resume {self.operation}` tries again",
                )
            )
        return evidence


class RecordMaintenance(HostAction):
    """Everybody knows that the host is away; refused while another one is."""

    def already(self) -> Evidence | None:
        """Whether it is recorded as far as that, or farther."""
        record = self.ctx.store.maintenance.of(self.step.target)
        wanted = MaintenanceState(self.step.arguments["state"])
        if record is None:
            return None
        is_beyond = wanted is MaintenanceState.ENTERING and record.state is MaintenanceState.IN
        if record.state is not wanted and not is_beyond:
            return None
        is_same = self._contents(record.at, record.state) == record
        return {"state": record.state.value} if is_same else None

    def do(self) -> None:
        """Write it down."""
        given = self.step.arguments
        records = self.ctx.store.maintenance.all()
        others = [r for r in records if r.name != given["name"]]
        if problems := domain_problems(others, {self.step.target}):
            raise Refused(*problems)
        before = self.ctx.store.maintenance.of(self.step.target)
        at = before.at if before else now_text()
        self.ctx.store.maintenance.put(self._contents(at, MaintenanceState(given["state"])))

    def _contents(self, at: str, state: MaintenanceState) -> MaintenanceRecord:
        given = self.step.arguments
        return MaintenanceRecord(
            host=self.step.target,
            name=given["name"],
            state=state,
            operation=self.operation,
            owner=given["owner"],
            at=at,
            replicas=tuple(given["replicas"].split()),
            moved=tuple(given["moved"].split()),
            powered=tuple(given["powered"].split()),
        )


class MoveVm(HostAction):
    """The VM runs on another host; its clients do not notice."""

    def already(self) -> Evidence | None:
        """Whether it stands there."""
        vm = self.vm()
        if vm is None or vm.host != self.step.arguments["to"]:
            return None
        return {"host": vm.host, "is_on": vm.is_on}

    def do(self) -> None:
        """Move it."""
        self.ctx.hypervisor.move(
            self.step.target, self.step.arguments["to"], deadline_s=self.step.deadline_s
        )


class ShutDown(HostAction):
    """The VM is off."""

    def already(self) -> Evidence | None:
        """Whether it is off, or gone with its host."""
        inventory = self.ctx.hypervisor.observe()
        vm = inventory.vm(self.step.target)
        host = inventory.host(vm.host) if vm else None
        if vm is None or not vm.is_on:
            return {"is_on": False}
        if not vm.is_connected or (host is not None and not host.connected):
            return {"is_on": False, "host": "lost"}
        return None

    def do(self) -> None:
        """Have its guest shut down; never while it serves."""
        node = next((n for n in nodes(self.ctx.site) if n.name == self.step.target), None)
        if node is not None:
            live = LiveState(traffic=self.ctx.traffic.observe())
            if takes_requests(live, node.name):
                raise Refused(self._serves())
            if node.endpoint:
                # A drained node still generates now and then, to know that it is healthy.
                is_forced = force_of(self.step.arguments.get("force")) is Force.UNSEEN
                await_idle(self.ctx, node, deadline_s=QUIET_S, cut=False, unseen=is_forced)
        self.ctx.hypervisor.shut_down(self.step.target, deadline_s=self.step.deadline_s)

    def _serves(self) -> Problem:
        return Problem(
            "REPLICA_SERVES",
            "an edge sends it requests: it is not shut down",
            self.step.target,
            f"`permafrost abort {self.operation}`, then plan anew",
        )


class EnterMode(HostAction):
    """The host is in maintenance mode."""

    def already(self) -> Evidence | None:
        """Whether vCenter says so."""
        host = self.host()
        return {"in_maintenance": True} if host is not None and host.in_maintenance else None

    def do(self) -> None:
        """Ask vCenter, which moves away what else may move."""
        self.ctx.hypervisor.enter_maintenance(self.step.target, deadline_s=self.step.deadline_s)


class ExitMode(HostAction):
    """The host is open again, and nothing asks it to close."""

    def do(self) -> None:
        """Ask vCenter; a request to enter that is still waiting is withdrawn."""
        self.ctx.hypervisor.exit_maintenance(self.step.target, deadline_s=self.step.deadline_s)

    def confirm(self) -> Evidence:
        """Return that it is open."""
        host = self.host()
        if host is None or host.in_maintenance:
            return super().confirm()
        return {"in_maintenance": False}


class PowerOn(HostAction):
    """The VM is on."""

    def already(self) -> Evidence | None:
        """Whether it is."""
        vm = self.vm()
        return {"is_on": True, "host": vm.host} if vm is not None and vm.is_on else None

    def do(self) -> None:
        """Power it on."""
        self.ctx.hypervisor.power_on(self.step.target, deadline_s=self.step.deadline_s)


class DeclareOut(HostAction):
    """The replica is out, and nobody's maintenance any more."""

    def already(self) -> Evidence | None:
        """Whether that is declared."""
        declared = self.ctx.store.declared().get(self.step.target)
        if declared is None or declared.state is not DeclaredState.OUT:
            return None
        return {"declared": str(declared)}

    def do(self) -> None:
        """Declare it."""
        given = self.step.arguments
        self.ctx.store.declare(
            self.step.target, DeclaredState.OUT, owner=given["owner"], reason=given["reason"]
        )


class ForgetMaintenance(HostAction):
    """Nobody's maintenance any more."""

    def already(self) -> Evidence | None:
        """Whether there is no record."""
        return {} if self.ctx.store.maintenance.of(self.step.target) is None else None

    def do(self) -> None:
        """Remove the record."""
        self.ctx.store.maintenance.remove(self.step.target)
