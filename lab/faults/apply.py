"""Applying and healing faults, each written down before it acts."""

from __future__ import annotations

from collections.abc import Mapping

from lab.errors import LabError
from lab.faults.kinds import KINDS
from lab.faults.record import Fault, FaultRecord
from lab.instance.model import Instance


def apply(instance: Instance, kind: str, target: str, options: Mapping[str, str]) -> Fault:
    """Apply one fault and return its record. Raises LabError when the target does not fit."""
    chosen = KINDS.get(kind)
    if chosen is None:
        raise LabError(
            "FAULT_UNKNOWN", f"there is no fault {kind}", f"there are: {', '.join(KINDS)}"
        )
    if options:
        raise LabError(
            "FAULT_OPTION_UNKNOWN", f"{kind} knows no option {next(iter(options))}", "leave it out"
        )
    undo = chosen.prepare(instance, target)
    record = FaultRecord(instance.faults_file)
    fault = record.begin(kind, target, options, undo)
    chosen.apply(instance, target, undo)
    record.note("applied", fault.id)
    return fault


def heal(instance: Instance, which: str) -> list[Fault]:
    """Undo one fault by its id, or all; the last applied first."""
    record = FaultRecord(instance.faults_file)
    active = record.active()
    chosen = [fault for fault in active if which in ("all", fault.id)]
    if not chosen and which != "all":
        raise LabError(
            "FAULT_NOT_ACTIVE",
            f"no active fault has the id {which}",
            f"active: {', '.join(f.id for f in active) or 'none'}",
        )
    for fault in reversed(chosen):
        KINDS[fault.kind].heal(instance, fault.target, fault.undo)
        record.note("healed", fault.id)
    return list(reversed(chosen))
