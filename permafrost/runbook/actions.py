"""Which class does which kind of step."""

from __future__ import annotations

from permafrost.engine.executor import Action
from permafrost.engine.state import Phase
from permafrost.planning.drain import DrainStep
from permafrost.planning.maintenance_steps import HostStep
from permafrost.planning.replicas import AdmitStep
from permafrost.planning.slot_steps import MOVED_TO, SlotStep
from permafrost.planning.steps import OperationStep
from permafrost.runbook import (
    steps_canary,
    steps_exchange,
    steps_host,
    steps_member,
    steps_release,
    steps_replica,
    steps_slot,
)
from permafrost.runbook.context import Context

REPLICA: dict[str, type[steps_replica.ReplicaAction]] = {
    DrainStep.DECLARE_DRAINING: steps_replica.DeclareDraining,
    DrainStep.SET_EDGES: steps_replica.SetEdgesToDrain,
    DrainStep.AWAIT_IDLE: steps_replica.AwaitIdle,
    DrainStep.DECLARE_DRAINED: steps_replica.DeclareDrained,
    AdmitStep.AWAIT_ANSWER: steps_replica.AwaitAnswer,
    AdmitStep.PROVE: steps_replica.Prove,
    AdmitStep.SET_EDGES: steps_replica.SetEdgesToReady,
    AdmitStep.AWAIT_UP: steps_replica.AwaitUp,
    AdmitStep.DECLARE_ADMITTED: steps_replica.DeclareAdmitted,
}

HOST: dict[str, type[steps_host.HostAction]] = {
    HostStep.RECORD: steps_host.RecordMaintenance,
    HostStep.MOVE: steps_host.MoveVm,
    HostStep.SHUT_DOWN: steps_host.ShutDown,
    HostStep.ENTER: steps_host.EnterMode,
    HostStep.EXIT: steps_host.ExitMode,
    HostStep.POWER_ON: steps_host.PowerOn,
    HostStep.GIVE_UP: steps_host.DeclareOut,
    HostStep.FORGET: steps_host.ForgetMaintenance,
    HostStep.HAND_OVER: steps_member.HandOver,
    HostStep.AWAIT_TIER: steps_member.AwaitTier,
    HostStep.AWAIT_MEMBER: steps_member.AwaitMember,
    HostStep.DECLARE_AWAY: steps_member.DeclareAway,
}


SLOT: dict[str, type[steps_slot.SlotAction]] = {
    SlotStep.RECORD: steps_release.RecordRelease,
    SlotStep.FETCH: steps_exchange.Fetch,
    SlotStep.LOAD: steps_slot.LoadSlot,
    SlotStep.EXCHANGE: steps_exchange.ExchangeSlot,
    SlotStep.AWAIT: steps_slot.AwaitSlot,
    SlotStep.PROVE: steps_slot.ProveSlot,
    SlotStep.LET_IN: steps_exchange.LetIn,
    SlotStep.AWAIT_UP: steps_slot.AwaitSlotUp,
    SlotStep.SHARE: steps_release.SetShare,
    SlotStep.CANARY: steps_canary.WatchCanary,
    SlotStep.CUT_OVER: steps_release.CutOver,
    SlotStep.KEEP_PINS: steps_release.KeepPins,
    SlotStep.AWAIT_IDLE: steps_slot.AwaitSlotIdle,
    SlotStep.UNLOAD: steps_slot.UnloadSlot,
}


def action_for(ctx: Context, operation: str, step: OperationStep, label: str = "") -> Action:
    """Return what does a step. ``label`` sets the journal of the way back apart."""
    if step.kind in HOST:
        return HOST[step.kind](ctx, step, operation)
    is_proof = step.kind in (SlotStep.PROVE, AdmitStep.PROVE)
    proven = is_proof and _has_proven(ctx, operation, step)
    if step.kind in SLOT:
        passed = _has_passed(ctx, operation, step, label)
        return SLOT[step.kind](ctx, step, operation, proven, passed)
    action = REPLICA[step.kind](ctx, step, proven)
    return steps_exchange.UnlessMoved(ctx, step, action) if MOVED_TO in step.arguments else action


def _has_proven(ctx: Context, operation: str, step: OperationStep) -> bool:
    """Whether this operation has proven the same checkpoint there."""
    return any(
        e.kind == step.kind
        and e.target == step.target
        and e.phase is Phase.DONE
        and e.detail.get("checkpoint") == step.arguments["checkpoint"]
        for e in ctx.store.journal(operation)
    )


def _has_passed(ctx: Context, operation: str, step: OperationStep, label: str) -> bool:
    """Whether a later step of the same plan has begun: this one was made true before that."""
    return any(
        e.step.startswith(label)
        and e.step.removeprefix(label).isdecimal()
        and int(e.step.removeprefix(label)) > int(step.id)
        for e in ctx.store.journal(operation)
    )
