"""The steps that take hosts away and bring them back, and what goes with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from permafrost.planning.force import Force
from permafrost.planning.lifecycle import MaintenanceRecord, MaintenanceState
from permafrost.planning.replicas import DECLARE_S
from permafrost.planning.steps import Draft
from permafrost.site.model import Site
from permafrost.topology import Node, Tier, nodes

MOVE_S, POWER_S, MODE_S = 600.0, 300.0, 800.0

HAND_OVER_S, TIER_S = 290.0, 600.0
HAND_OVER_TEXT = (
    "leadership and segments to the others; a replica without a query node gets one of theirs"
)


class HostStep(StrEnum):
    """Steps on hosts and VMs."""

    RECORD = "record-maintenance"
    MOVE = "move-vm"
    SHUT_DOWN = "shut-down"
    ENTER = "enter-maintenance-mode"
    EXIT = "exit-maintenance-mode"
    POWER_ON = "power-on"
    GIVE_UP = "declare-out"
    FORGET = "forget-maintenance"
    HAND_OVER = "hand-over"
    AWAIT_TIER = "await-tier"
    AWAIT_MEMBER = "await-member"
    DECLARE_AWAY = "declare-member-away"


@dataclass(frozen=True, slots=True)
class Away:
    """What a maintenance takes away of a set of hosts, and what brings it back."""

    hosts: tuple[str, ...]
    replicas: tuple[str, ...]
    moved: Mapping[str, tuple[str, str]]
    powered: tuple[str, ...]

    def as_facts(self) -> dict[str, Any]:
        """Return plain values, to be kept with the operation."""
        return {
            "hosts": list(self.hosts),
            "replicas": list(self.replicas),
            "moved": {vm: list(way) for vm, way in self.moved.items()},
            "powered": list(self.powered),
        }

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> Away:
        """Return what ``as_facts`` gave."""
        return cls(
            tuple(facts["hosts"]),
            tuple(facts["replicas"]),
            {vm: (way[0], way[1]) for vm, way in facts["moved"].items()},
            tuple(facts["powered"]),
        )

    @classmethod
    def of_records(cls, records: Iterable[MaintenanceRecord]) -> Away:
        """Return what the records of one maintenance say."""
        found = tuple(records)
        ways = [m.split("=") for r in found for m in r.moved]
        return cls(
            tuple(r.host for r in found),
            tuple(sorted({n for r in found for n in r.replicas})),
            {vm: (source, target) for vm, source, target in ways},
            tuple(sorted({n for r in found for n in r.powered})),
        )


def off_drafts(site: Site, away: Away, force: Force | None = None) -> list[Draft]:
    """Return how the machines go off; a member of the knowledge tier gives away first.

    Leadership and segments go to the others while it still runs, and it is off only when they
    answer right; the next step waits until they do without it. ``force``: what may be waived
    where a replica is looked at once more.
    """
    forced = {"force": force.value} if force else {}
    by_name = {n.name: n for n in nodes(site)}
    drafts = []
    for vm in away.powered:
        if is_member(by_name, vm):
            wait_s = HAND_OVER_S + TIER_S
            drafts.append(Draft(HostStep.HAND_OVER.value, vm, wait_s, HAND_OVER_TEXT))
        drafts.append(Draft(HostStep.SHUT_DOWN.value, vm, POWER_S, "by its guest", forced))
        if is_member(by_name, vm):
            drafts.append(Draft(HostStep.AWAIT_TIER.value, vm, TIER_S, "right without it"))
    return drafts


def is_member(by_name: Mapping[str, Node], name: str) -> bool:
    """Whether a machine is a member of the knowledge tier."""
    return name in by_name and by_name[name].tier is Tier.KNOWLEDGE


def record_draft(host: str, name: str, state: MaintenanceState, owner: str, away: Away) -> Draft:
    """Return the step that notes how far the maintenance of a host is, and what goes with it."""
    return Draft(
        HostStep.RECORD.value,
        host,
        DECLARE_S,
        state.value,
        {
            "name": name,
            "state": state.value,
            "owner": owner,
            "replicas": " ".join(away.replicas),
            "moved": " ".join(f"{vm}={a}={b}" for vm, (a, b) in away.moved.items()),
            "powered": " ".join(away.powered),
        },
    )


def move_draft(vm: str, source: str, target: str) -> Draft:
    """Return the step that moves a VM to another host while it runs."""
    return Draft(HostStep.MOVE.value, vm, MOVE_S, f"to {target}", {"from": source, "to": target})
