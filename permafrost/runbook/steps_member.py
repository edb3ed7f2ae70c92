"""How a member of the knowledge tier goes and comes back, with every answer right meanwhile.

It gives away first: what serves on it is stopped while the others run, another member leads etcd,
and the step is done when the others give the known answers without it. An open port says none of
that, so each step ends with the canaries.
"""

from __future__ import annotations

from permafrost.engine.executor import Evidence
from permafrost.engine.state import DeclaredState
from permafrost.errors import PermafrostError
from permafrost.planning.maintenance_steps import HAND_OVER_S
from permafrost.runbook.knowledge import (
    STEADY_S,
    TAKE_UP_S,
    await_coordinators_home,
    await_ready,
    read_knowledge,
    take_up_member,
    vector_store,
)
from permafrost.runbook.query_replicas import begin_emptied_anew, fill_replicas
from permafrost.runbook.query_spares import bring_home, call_spares, is_at_home
from permafrost.runbook.steps_host import HostAction


class MemberAction(HostAction):
    """What all these steps know."""

    def is_off(self) -> bool:
        """Whether the machine is off, or gone with its host."""
        vm = self.vm()
        return vm is None or not vm.is_on or not vm.is_connected


class HandOver(MemberAction):
    """Nothing serves on the member, it leads nothing, and the others answer right.

    A replica of a collection that had all its query nodes there has got a spare one elsewhere.
    """

    restarted: tuple[str, ...] = ()

    def already(self) -> Evidence | None:
        """Whether it is off already; else it is told again, which changes nothing."""
        return {"is_on": False} if self.is_off() else None

    def do(self) -> None:
        """Tell it, when everything else is whole."""
        member = self.step.target
        await_coordinators_home(self.ctx, member)
        # First what a process that was killed below has left: the others are not whole before.
        self.restarted = fill_replicas(self.ctx, leaving=member)
        await_ready(self.ctx, mending=(member,))
        self.ctx.guard()
        self.restarted += call_spares(self.ctx, leaving=member)
        self.ctx.guard()
        vector_store(self.ctx).hand_over(member, deadline_s=HAND_OVER_S)
        self.restarted += fill_replicas(self.ctx, leaving=member)

    def confirm(self) -> Evidence:
        """Return who leads now, once the others answer right without it."""
        member = self.step.target
        await_ready(self.ctx, away=(member,), steady_s=STEADY_S)
        seen = read_knowledge(self.ctx, away=(member,))
        return {
            "etcd_leader": seen.quorums["etcd"]["leader"],
            "coordinators": {c["role"]: c["active"] for c in seen.coordinators},
            "canaries": {p["member"]: p["canaries"]["right"] for p in seen.proxies},
            **({"restarted": list(self.restarted)} if self.restarted else {}),
        }


class AwaitTier(MemberAction):
    """The others answer right while the member is off."""

    def confirm(self) -> Evidence:
        """Return what the proxies answered."""
        away = (self.step.target,)
        await_ready(self.ctx, away=away, deadline_s=self.step.deadline_s, steady_s=STEADY_S)
        seen = read_knowledge(self.ctx, away=away)
        return {"canaries": {p["member"]: p["canaries"]["right"] for p in seen.proxies}}

    def do(self) -> None:
        """Nothing is to be done but to wait."""


class AwaitMember(MemberAction):
    """The tier is whole again, the member with it.

    Its query nodes join, one after the other, the replica with the fewest: those that its going
    has made the smaller ones. A spare that was called for them ends once everything is whole. What
    leads does not come back by itself: it is spread then.
    """

    def already(self) -> Evidence | None:
        """Whether nothing is said against it."""
        if self.is_drained():
            return None
        try:
            seen = read_knowledge(self.ctx)
        except PermafrostError:
            return None
        is_done = seen.is_ready and is_at_home(self.ctx)
        return {"ready": True} if is_done else None

    def is_drained(self) -> bool:
        """Whether it is declared away: then it is not back before that is taken back."""
        declared = self.ctx.store.declared().get(self.step.target)
        return declared is not None and declared.is_away

    def do(self) -> None:
        """Have it started: one that gave away and was never off runs its stores alone."""
        take_up_member(self.ctx, self.step.target)
        begin_emptied_anew(self.ctx, but=self.step.target)

    def confirm(self) -> Evidence:
        """Return the canaries once the tier is whole."""
        await_ready(self.ctx, deadline_s=self.step.deadline_s - TAKE_UP_S, steady_s=STEADY_S)
        restarted = bring_home(self.ctx)
        if self.is_drained():
            who = self.ctx.store.declared()[self.step.target].owner
            self.ctx.store.declare(self.step.target, DeclaredState.ADMITTED, owner=who)
        return {"ready": True, **({"restarted": list(restarted)} if restarted else {})}


class DeclareAway(MemberAction):
    """It is decided, durably, that the member is away: no other is touched meanwhile."""

    def already(self) -> Evidence | None:
        """Whether that is declared, or more."""
        declared = self.ctx.store.declared().get(self.step.target)
        wanted = {self.step.arguments["state"], DeclaredState.DRAINED.value}
        if declared is None or declared.state.value not in wanted:
            return None
        return {"declared": str(declared)}

    def do(self) -> None:
        """Declare it."""
        given = self.step.arguments
        state = DeclaredState(given["state"])
        self.ctx.store.declare(
            self.step.target, state, owner=given["owner"], reason=given["reason"]
        )
