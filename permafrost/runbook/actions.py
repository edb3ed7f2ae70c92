"""Which class does which kind of step."""

from __future__ import annotations

from permafrost.engine.executor import Action
from permafrost.engine.state import Phase
from permafrost.planning.drain import DrainStep
from permafrost.planning.maintenance import HostStep
from permafrost.planning.replicas import AdmitStep
from permafrost.planning.slot_steps import SlotStep
from permafrost.planning.steps import OperationStep
from permafrost.runbook import steps_host, steps_replica, steps_slot
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
}


SLOT: dict[str, type[steps_slot.SlotAction]] = {
    SlotStep.RECORD: steps_slot.RecordRelease,
    SlotStep.LOAD: steps_slot.LoadSlot,
    SlotStep.AWAIT: steps_slot.AwaitSlot,
    SlotStep.PROVE: steps_slot.ProveSlot,
    SlotStep.AWAIT_UP: steps_slot.AwaitSlotUp,
    SlotStep.CUT_OVER: steps_slot.CutOver,
    SlotStep.AWAIT_IDLE: steps_slot.AwaitSlotIdle,
    SlotStep.UNLOAD: steps_slot.UnloadSlot,
}


def action_for(ctx: Context, operation: str, step: OperationStep) -> Action:
    """Return what does a step."""
    if step.kind in HOST:
        return HOST[step.kind](ctx, step, operation)
    is_proof = step.kind in (SlotStep.PROVE, AdmitStep.PROVE)
    proven = is_proof and _has_proven(ctx, operation, step.target, step.kind)
    if step.kind in SLOT:
        return SLOT[step.kind](ctx, step, operation, proven)
    return REPLICA[step.kind](ctx, step, proven)


def _has_proven(ctx: Context, operation: str, node: str, kind: str) -> bool:
    return any(
        e.kind == kind and e.target == node and e.phase is Phase.DONE
        for e in ctx.store.journal(operation)
    )
