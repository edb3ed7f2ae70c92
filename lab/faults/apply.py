"""Applying and healing faults, each written down before it acts."""

from __future__ import annotations

from collections.abc import Mapping

from lab.errors import LabError, LabRefused
from lab.faults.kinds import KINDS
from lab.faults.model import Kind
from lab.faults.record import Fault, FaultRecord
from lab.hypervisor import guest
from lab.hypervisor.machine import Machine
from lab.instance.model import Instance
from lab.instance.waiting import wait_until

ENDS_S = 20.0
"""How long a machine that is ending may take before healing on it is asked for again."""


def apply(instance: Instance, kind: str, target: str, options: Mapping[str, str]) -> Fault:
    """Apply one fault and return its record.

    Raises LabRefused when target or options do not fit (nothing was done), LabError when the
    fault broke half way (it is recorded and can be healed).
    """
    record = FaultRecord(instance.faults_file)
    chosen, settings, undo = _prepared(instance, record, kind, target, options)
    fault = record.begin(kind, target, settings, undo)
    chosen.apply(instance, target, undo)
    record.note("applied", fault.id)
    return fault


def _prepared(
    instance: Instance, record: FaultRecord, kind: str, target: str, options: Mapping[str, str]
) -> tuple[Kind, dict[str, str], dict[str, str]]:
    chosen = KINDS.get(kind)
    if chosen is None:
        raise LabRefused(
            "FAULT_UNKNOWN", f"there is no fault {kind}", f"there are: {', '.join(KINDS)}"
        )
    same = [f for f in record.active() if (f.kind, f.target) == (kind, target)]
    if same and chosen.lasts:
        raise LabRefused(
            "FAULT_ALREADY_ACTIVE",
            f"{kind} of {target} is active as {same[0].id}",
            f"heal it first: permafrost-lab fault heal {same[0].id}",
        )
    try:
        settings = chosen.chosen(kind, options)
        return chosen, settings, chosen.prepare(instance, target, settings)
    except LabError as error:
        first = error.problems[0]
        raise LabRefused(first.code, first.message, first.hint, first.path) from error


def heal(instance: Instance, which: str) -> list[Fault]:
    """Undo one fault by its id, or all; the last applied first.

    One that cannot be healed stays active and keeps no other from it. Raises LabError naming it.
    """
    record = FaultRecord(instance.faults_file)
    active = record.active()
    chosen = [fault for fault in active if which in ("all", fault.id)]
    if not chosen and which != "all":
        raise LabError(
            "FAULT_NOT_ACTIVE",
            f"no active fault has the id {which}",
            f"active: {', '.join(f.id for f in active) or 'none'}",
        )
    healed, problems = [], []
    for fault in reversed(chosen):
        try:
            _undo(instance, fault)
        except LabError as error:
            problems.append(f"{fault.id} {fault.kind} {fault.target}: {error}")
            continue
        record.note("healed", fault.id)
        healed.append(fault)
    if problems:
        raise LabError(
            "FAULT_NOT_HEALED", "; ".join(problems), "mend what is in the way and heal again"
        )
    return healed


def _undo(instance: Instance, fault: Fault) -> None:
    """Heal one fault; once more where its machine ended, and took what was asked with it."""
    kind = KINDS[fault.kind]
    node = Machine(instance, fault.target.partition(":")[0])
    began = guest.init_pid(node)
    try:
        kind.heal(instance, fault.target, fault.undo)
    except LabError:

        def is_another() -> bool:
            return not node.is_on or guest.init_pid(node) not in (None, began)

        if began is None or not wait_until(is_another, ENDS_S):
            raise
        kind.heal(instance, fault.target, fault.undo)
