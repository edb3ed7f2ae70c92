"""Which steps of a deployment leave alone what a person's unfinished operation relies on.

Such an operation goes on from what it left: replicas that serve, edges as they are told, VMs and
rules as they stand. So nothing that runs may be changed. What is gone may be brought back, and
has to be: neither `resume` nor `abort` gets past a machine that is not there.
"""

from __future__ import annotations

from permafrost.planning.deploy import Plan, Step

OF_WHAT_RUNS = frozenset({"power-on", "mark", "admit"})
"""They take nothing away: a VM that is off, a label, a replica back through its gate."""
OF_WHAT_IS_GONE = frozenset({"place", "create-vm", "replace-vm", "converge"})
"""They make a machine that is not there, as the record says it."""
AFTER_A_VM = frozenset(
    f"{verb}-{what}"
    for verb in ("create", "update", "replace")
    for what in ("rule", "vm-group", "drs-override", "ha-override")
)
"""A VM that is made anew has another identity: what names it in vCenter is told that one."""


def disturbing(plan: Plan) -> tuple[Step, ...]:
    """Return the steps that change what runs."""
    makes_vms = any(_makes(step, plan) for step in plan.steps)
    return tuple(step for step in plan.steps if not _is_harmless(step, plan, makes_vms))


def _is_harmless(step: Step, plan: Plan, makes_vms: bool) -> bool:
    if step.kind in OF_WHAT_RUNS:
        return True
    if step.kind in OF_WHAT_IS_GONE:
        return step.target in plan.gone
    return makes_vms and step.kind in AFTER_A_VM


def _makes(step: Step, plan: Plan) -> bool:
    return step.kind in ("create-vm", "replace-vm") and step.target in plan.gone
