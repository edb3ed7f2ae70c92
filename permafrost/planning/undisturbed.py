"""What leaves alone what a person's unfinished operation relies on: steps of a deployment, a node.

Such an operation goes on from what it left: replicas that serve, edges as they are told, VMs and
rules as they stand. So nothing that runs may be changed. What is gone may be brought back, and
has to be: neither `resume` nor `abort` gets past a machine that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from permafrost.planning.deploy import Plan, Step
from permafrost.planning.steps import OperationPlan
from permafrost.site.model import Site
from permafrost.topology import Node, Tier, nodes

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
RENEW = "--renew-certificate"


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


def concerns(site: Site, plan: OperationPlan, node: Node) -> bool:
    """Whether an unfinished operation goes on from a node as it is; so does one without steps.

    A change of slots is of every replica of its endpoint. What is done to a replica or to slots
    is told to every edge.
    """
    if not plan.steps:
        return True  # nothing says what it is about
    touched = {plan.target, *(step.target for step in plan.steps)}
    served = {name for step in plan.steps if (name := step.arguments.get("endpoint"))}
    served |= touched & set(site.inference)
    served |= {n.endpoint for n in nodes(site) if n.endpoint and n.name in touched}
    if node.name in touched:
        return True
    if node.tier is Tier.EDGE:
        return bool(served)
    return bool(node.endpoint) and node.endpoint in touched


def is_told_for(error: Mapping[str, Any] | None, command: str, node: str) -> bool:
    """Whether the error that an operation stopped with says: run this command on this node."""
    told = error or {}
    # Another certificate is not the whole command.
    hint = str(told.get("hint", "")).replace(f"`permafrost {command} {node} {RENEW}`", "")
    about_it = told.get("path") == node and f"`permafrost {command}" in hint
    return about_it or f"`permafrost {command} {node}" in hint
