"""May this replica's behaviour be probed now, and what would be done?

Recorded tokens are worth something only where the batch was the probe's alone: so a replica is
probed while it is drained, and stays drained. Nothing here brings it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from permafrost.errors import Problem, Refused
from permafrost.planning.lifecycle import DeclaredState, ReplicaState
from permafrost.planning.live import LiveState
from permafrost.site.model import Site
from permafrost.topology import Node, endpoint_of, replicas


class FingerprintStep(StrEnum):
    """Steps, in their order."""

    PROBE = "probe"
    COMPARE = "compare-with-recorded"
    STORE = "store-fingerprint"
    FOLLOW = "fetch-fingerprint"


@dataclass(frozen=True, slots=True)
class FingerprintPlan:
    """What a command would do: ``steps`` as step and the node it is about."""

    command: str
    replica: str
    endpoint: str
    model: str
    steps: tuple[tuple[FingerprintStep, str], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        steps = [
            {"id": f"{i:02}", "kind": step.value, "target": target}
            for i, (step, target) in enumerate(self.steps, start=1)
        ]
        return {"schema": 1, "command": f"fingerprint {self.command}", "steps": steps}


def plan_fingerprint(site: Site, live: LiveState, node: Node, command: str) -> FingerprintPlan:
    """Return the steps, or raise Refused (REPLICA_NOT_DRAINED)."""
    _require_drained(live, node)
    steps = [(FingerprintStep.PROBE, node.name), (FingerprintStep.COMPARE, node.name)]
    if command != "compare":
        steps.append((FingerprintStep.STORE, node.name))
        members = replicas(site, node.endpoint) if node.endpoint in site.inference else (node,)
        steps += [(FingerprintStep.FOLLOW, member.name) for member in members]
    model = endpoint_of(site, node).model
    return FingerprintPlan(command, node.name, node.endpoint, model, tuple(steps))


def _require_drained(live: LiveState, node: Node) -> None:
    declared = live.declared.get(node.name)
    is_drained = declared is not None and declared.state is DeclaredState.DRAINED
    if is_drained and live.in_flight(node.name) == 0 and not live.is_gone(node.name):
        return
    state, reason = live.state_of(node)
    seen = state.value + (f" ({reason})" if reason else "")
    if is_drained and live.is_gone(node.name):
        seen, hint = "DRAINED, and its machine is gone", "bring its machine back first"
    elif state is ReplicaState.DRAINED:
        seen = f"DRAINED with {live.in_flight(node.name)} in flight"
        hint = f"`permafrost drain {node.name}` waits for them"
    else:
        hint = f"`permafrost drain {node.name}` first; it stays drained until `undrain`"
    raise Refused(
        Problem(
            "REPLICA_NOT_DRAINED",
            f"only a drained replica is probed: it is {seen}",
            node.name,
            hint,
        )
    )
