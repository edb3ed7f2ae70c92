"""What a deployment would do, as numbered steps made from values alone.

Pulumi says which resources differ; the record and the snapshot say which nodes move, which VMs
are off and which replicas are away without a person having wanted it. What a person drained
stays drained.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from permafrost.errors import Problem, Refused
from permafrost.planning.capacity import GroupCapacity, capacity_of
from permafrost.planning.drift_report import Drift, blocks_deploy, needs_refresh, unmarked
from permafrost.planning.knowledge import milvus_roles, rolling_order
from permafrost.planning.lifecycle import ReplicaState
from permafrost.planning.live import LiveState
from permafrost.planning.placement import Placement
from permafrost.planning.reboot import Effect, Verdict, verdict_of_change
from permafrost.planning.unsupported import unsupported
from permafrost.ports import Change
from permafrost.site.model import Site
from permafrost.topology import nodes

BOOKKEEPING = ("pulumi:", "permafrost:")
"""Types that stand for no thing outside Pulumi: the stack, providers, components."""

CONTENTS = ":RegistryContents"
"""The type of what looks up whether a registry on a VM of the site holds what is pinned."""

IN_TURN = "in its turn: gives away first, whole again before the next"
"""How a member of the knowledge tier that serves is configured anew."""

BRING_HOME = "bring-home"
"""What moved in the knowledge tier is brought home; the last step (``runbook.knowledge_home``)."""

OURS = ("place", "mark", "power-on", "admit", BRING_HOME)
"""Kinds of steps that Pulumi has no part in."""

SHORT_TYPES = {
    "virtualMachine": "vm",
    "computeClusterVmAntiAffinityRule": "rule",
    "resourcePool": "pool",
    "computeClusterHostGroup": "host-group",
    "computeClusterVmGroup": "vm-group",
    "computeClusterVmHostRule": "rule",
    "customAttribute": "attribute",
    "drsVmOverride": "drs-override",
    "haVmOverride": "ha-override",
    "tagCategory": "tag-category",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done. ``detail`` says more to a person."""

    id: str
    kind: str
    target: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Numbered steps, and the fingerprint of what they were made from.

    ``unsupported`` is what the site asks for and cannot be had yet: such a plan shows where
    everything would stand, and is not carried out.
    """

    command: str
    fingerprint: str
    steps: tuple[Step, ...]
    placement: Placement
    notes: tuple[str, ...] = ()
    mends: tuple[Drift, ...] = ()
    vms: Mapping[str, Verdict] = field(default_factory=dict)
    capacity: tuple[GroupCapacity, ...] = ()
    roles: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    unsupported: tuple[Problem, ...] = ()
    level: str = "host"
    gone: frozenset[str] = frozenset()
    """Nodes whose machine cannot be working: nothing that is done to them takes anything away."""

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable form (docs/interfaces.md)."""
        return {
            "schema": 1,
            "fingerprint": self.fingerprint,
            "command": self.command,
            "steps": [
                {"id": s.id, "kind": s.kind, "target": s.target, "detail": s.detail}
                for s in self.steps
            ],
            "placement": self.placement.as_dict(),
            "notes": list(self.notes),
            "mends": [d.as_dict() for d in self.mends],
            "vms": {name: verdict.as_dict() for name, verdict in self.vms.items()},
            "capacity": [c.as_dict() for c in self.capacity],
            "roles": {node: dict(roles) for node, roles in self.roles.items()},
            "unsupported": [p.as_dict() for p in self.unsupported],
        }

    def of_kind(self, kind: str) -> tuple[Step, ...]:
        """Return the steps of one kind."""
        return tuple(s for s in self.steps if s.kind == kind)

    @property
    def refreshes(self) -> bool:
        """Whether Pulumi must look at vCenter again before it acts."""
        return needs_refresh(self.mends)

    @property
    def capacity_lines(self) -> tuple[str, ...]:
        """What stays when failure domains are lost, a line for each group."""
        return tuple(c.sentence(self.level) for c in self.capacity)

    @property
    def is_pulumis(self) -> bool:
        """Whether Pulumi has anything to do."""
        return any(s.kind not in OURS for s in self.steps)


def plan_deploy(
    site: Site,
    live: LiveState,
    *,
    recorded: Placement,
    placement: Placement,
    changes: Iterable[Change],
    drift: Iterable[Drift] = (),
    kept_off: Collection[str] = (),
) -> Plan:
    """Return the steps: placement first, then Pulumi's, then marks, power and admission.

    ``drift`` is what is mended by them; ``kept_off`` are VMs that a maintenance has shut down.
    Raises Refused for drift that no deployment mends.
    """
    drift = tuple(drift)
    if blocking := blocks_deploy(drift):
        raise Refused(*(d.as_problem() for d in blocking))
    steps: list[tuple[str, str, str]] = []
    for node, slot in placement.items():
        old = recorded.get(node)
        if old != slot:
            where = " ".join((slot.host, *slot.gpus))
            steps.append(("place", node, f"from {old.host} to {where}" if old else f"on {where}"))
    touched: set[str] = set()
    verdicts: dict[str, Verdict] = {}
    for change in changes:
        if not change.type.startswith(BOOKKEEPING) or _is_convergence(change.type):
            kind, target = _kind(change), change.name
            touched.add(target)
            detail = IN_TURN if _takes_turn(site, change) else ""
            if kind in ("update-vm", "replace-vm"):
                verdicts[target] = verdict_of_change(live.inventory, change)
                detail = str(verdicts[target])
            if (kind, target, detail) not in steps:
                steps.append((kind, target, detail))
    steps = _in_rolling_order(site, steps)
    made = {target for kind, target, _ in steps if kind in ("create-vm", "replace-vm")}
    changed = {target for kind, target, _ in steps if kind.endswith("-vm")}
    # A VM that is made has its marks from the beginning.
    steps += [("mark", d.target, d.seen) for d in unmarked(drift) if d.target not in made]
    notes: list[str] = []
    for node_ in nodes(site):
        if node_.name in touched:
            if node_.name not in changed:
                # Its VM stays as it is: nobody else has it run when it is to be configured.
                steps += [s for s in _recovery(live, node_.name) if s[0] == "power-on"]
            continue
        vm = live.inventory.vm(node_.name)
        if node_.name in kept_off and vm is not None and not vm.is_on:
            notes.append(f"{node_.name} stays off: {vm.host} is in maintenance")
        else:
            steps += _recovery(live, node_.name)
        if node_.endpoint:
            state, _ = live.state_of(node_)
            declared = live.declared.get(node_.name)
            if declared is not None and declared.is_away and not declared.is_automatic:
                notes.append(f"stays as it is: {declared}")
            elif state is ReplicaState.LOST and live.inventory.vm(node_.name) is not None:
                notes.append(f"{node_.name} is {state.value}")
    unseen = sorted(site.hosts.keys() - {h.name for h in live.inventory.hosts})
    notes += [f"host {name} has labels, but vCenter shows no such host" for name in unseen]
    return Plan(
        "deploy",
        fingerprint_of(site, live, recorded),
        _numbered(steps),
        placement,
        (*notes, *(f"mends {d}" for d in drift)),
        drift,
        {
            n.name: verdicts.get(n.name, Verdict(Effect.UNTOUCHED))
            for n in nodes(site)
            if live.inventory.vm(n.name) is not None
        },
        capacity_of(site, placement),
        milvus_roles(site),
        unsupported(site),
        site.failure_domains.level.value,
        frozenset(n.name for n in nodes(site) if live.is_gone(n.name)),
    )


def plan_destroy(site: Site, live: LiveState, recorded: Placement) -> Plan:
    """Return one step for each VM that goes."""
    known = {n.name for n in nodes(site)} | set(recorded)
    steps = [
        ("destroy-vm", vm.name, f"on {vm.host}") for vm in live.inventory.vms if vm.name in known
    ]
    steps.append(("destroy-stack", site.control.pulumi_stack, "rules, folder, pool"))
    return Plan("destroy", fingerprint_of(site, live, recorded), _numbered(steps), Placement())


def and_then(plan: Plan, kind: str, target: str, detail: str) -> Plan:
    """Return the plan with one step more, the last one."""
    steps = [(s.kind, s.target, s.detail) for s in plan.steps]
    return replace(plan, steps=_numbered([*steps, (kind, target, detail)]))


def fingerprint_of(site: Site, live: LiveState, recorded: Placement) -> str:
    """Return a digest of everything that a plan is made from and that must still hold."""
    basis = {
        "site": site.model_dump(mode="json"),
        "recorded": recorded.as_dict(),
        "declared": {n: [d.state.value, d.owner] for n, d in sorted(live.declared.items())},
        "hosts": [[h.name, h.connected, h.in_maintenance] for h in live.inventory.hosts],
        "vms": [
            [v.name, v.uuid, v.host, v.is_on, v.gpus, v.is_fully_reserved]
            for v in live.inventory.vms
        ],
        "rules": [
            [r.name, r.is_enabled, r.is_mandatory, sorted(r.vms)] for r in live.inventory.rules
        ],
        "cluster": live.inventory.cluster.as_dict(),
    }
    text = json.dumps(basis, sort_keys=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _recovery(live: LiveState, node: str) -> list[tuple[str, str, str]]:
    vm = live.inventory.vm(node)
    declared = live.declared.get(node)
    if vm is None or not vm.is_connected:
        return []
    if not vm.is_on and (declared is None or not declared.is_away or declared.is_automatic):
        return [("power-on", node, f"on {vm.host}")]
    if vm.is_on and declared is not None and declared.is_away and declared.is_automatic:
        return [("admit", node, str(declared))]
    return []


def _takes_turn(site: Site, change: Change) -> bool:
    """Whether a member of the knowledge tier is configured anew: one that serves already."""
    names = milvus_roles(site)
    return _kind(change) == "converge" and change.operation == "update" and change.name in names


def _in_rolling_order(site: Site, steps: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Return the steps with the turns of members, where they stand, in the order of the turns."""
    if site.knowledge is None:
        return steps
    order = [n.name for n in rolling_order(site)]
    turns = iter(sorted((s for s in steps if s[2] == IN_TURN), key=lambda s: order.index(s[1])))
    return [next(turns) if s[2] == IN_TURN else s for s in steps]


def _is_convergence(type_: str) -> bool:
    return type_.startswith("pulumi-python:dynamic")


def _kind(change: Change) -> str:
    if _is_convergence(change.type):
        if change.operation.startswith("delete"):
            return "forget"
        return "check" if change.type.endswith(CONTENTS) else "converge"
    last = change.type.rpartition(":")[2]
    last = last[:1].lower() + last[1:]
    return f"{change.operation}-{SHORT_TYPES.get(last, last)}"


def _numbered(steps: Iterable[tuple[str, str, str]]) -> tuple[Step, ...]:
    return tuple(
        Step(f"{i:02}", kind, target, detail)
        for i, (kind, target, detail) in enumerate(steps, start=1)
    )


def as_lines(plan: Plan) -> Mapping[str, str]:
    """Return the plan as numbered lines."""
    return {s.id: " ".join(p for p in (s.kind, s.target, s.detail) if p) for s in plan.steps}
