"""The steps on slots: what each kind is told, and in which order a slot is filled or emptied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from permafrost.planning.canary import Canary
from permafrost.planning.force import Force
from permafrost.planning.release import Release, other_slot
from permafrost.planning.replicas import (
    DECLARE_S,
    EDGES_S,
    PROVE_S,
    RENEWS,
    UP_S,
    AdmitStep,
    drain_drafts,
)
from permafrost.planning.steps import Draft
from permafrost.site.model import Site
from permafrost.topology import Node, replicas

LOAD_S = 1500.0
UNLOAD_S = 240.0
MOVED_TO = "moved_to"
"""Argument of a drain's steps: they are done when the node has this slot loaded alone."""


class SlotStep(StrEnum):
    """Kinds of steps on slots."""

    RECORD = "record-release"
    FETCH = "fetch-checkpoint"
    LOAD = "load-slot"
    EXCHANGE = "exchange-slot"
    AWAIT = "await-slot"
    PROVE = "prove-slot"
    LET_IN = "set-edges-to-let-in"
    AWAIT_UP = "await-slot-up"
    SHARE = "set-share"
    CANARY = "canary"
    CUT_OVER = "cut-over"
    KEEP_PINS = "keep-pins"
    AWAIT_IDLE = "await-slot-idle"
    UNLOAD = "unload-slot"


def load_drafts(site: Site, name: str, slot: str, checkpoint: str) -> tuple[Draft, ...]:
    """Return the steps that load and prove a checkpoint on each replica, one after another."""
    drafts: list[Draft] = []
    for node in replicas(site, name):
        what = _what(name, slot, checkpoint)
        load = Draft(SlotStep.LOAD.value, node.name, LOAD_S, _where(slot), {**what, **RENEWS})
        drafts += [
            load,
            *_proof_drafts(site, node, slot, checkpoint),
            Draft(SlotStep.AWAIT_UP.value, node.name, UP_S, _where(slot), what),
        ]
    return tuple(drafts)


def move_drafts(
    site: Site, node: Node, slot: str, checkpoint: str, *, owner: str
) -> tuple[Draft, ...]:
    """Return the steps that have a replica hold a checkpoint in one slot alone.

    Its bytes come while it serves; then nobody is sent there, and what is under way ends.
    """
    what = _what(node.endpoint, slot, checkpoint)
    moved = {MOVED_TO: f"{slot}={checkpoint}"}
    reason = f"gets {checkpoint[:19]} in slot {slot}"
    exchange = f"{_where(slot)} instead of {other_slot(slot)}"
    return (
        Draft(SlotStep.FETCH.value, node.name, LOAD_S, "", {**what, **RENEWS}),
        *(
            replace(d, arguments={**d.arguments, **moved})
            for d in drain_drafts(site, node, owner=owner, reason=reason)
        ),
        Draft(SlotStep.EXCHANGE.value, node.name, LOAD_S, exchange, {**what, **RENEWS}),
        *admit_slot_drafts(site, node, slot, checkpoint, owner=owner),
    )


def admit_slot_drafts(
    site: Site, node: Node, slot: str, checkpoint: str, *, owner: str
) -> tuple[Draft, ...]:
    """Return the steps that bring a replica back whose slot was exchanged, through the gate."""
    what = {**_what(node.endpoint, slot, checkpoint), "address": str(node.address)}
    return (
        *_proof_drafts(site, node, slot, checkpoint),
        Draft(SlotStep.LET_IN.value, node.name, EDGES_S, _where(slot), what),
        Draft(SlotStep.AWAIT_UP.value, node.name, UP_S, _where(slot), what),
        Draft(
            AdmitStep.DECLARE_ADMITTED.value,
            node.name,
            DECLARE_S,
            arguments={**what, "owner": owner},
        ),
    )


def empty_drafts(site: Site, held: Release) -> tuple[Draft, ...]:
    """Return the steps that empty the slot that does not answer."""
    alone = replace(held, slots={held.live: held.checkpoint}, open=(held.live,), share=0)
    return (record_draft(alone, f"slot {held.live} alone"),
            *unload_drafts(site, held.endpoint, held.spare))  # fmt: skip


def unload_drafts(site: Site, name: str, slot: str) -> tuple[Draft, ...]:
    """Return the steps that empty a slot of each replica once nothing is under way there."""
    idle_s = float(site.inference[name].drain_deadline_s)
    drafts: list[Draft] = []
    for node in replicas(site, name):
        what = {"slot": slot, "endpoint": name}
        idle = {**what, **RENEWS}
        drafts += [
            Draft(SlotStep.AWAIT_IDLE.value, node.name, idle_s, _where(slot), idle),
            Draft(SlotStep.UNLOAD.value, node.name, UNLOAD_S, _where(slot), what),
        ]
    return tuple(drafts)


def record_draft(made: Release, detail: str, *, force: Force | None = None) -> Draft:
    """Return the step that records what an endpoint's slots are to hold.

    ``force``: whether edges that do not answer are left as they are.
    """
    told = {**release_arguments(made), **({"force": force.value} if force else {})}
    return Draft(SlotStep.RECORD.value, made.endpoint, EDGES_S, detail, told)


def share_draft(made: Release) -> Draft:
    """Return the step that has every edge send a share to the slot beside the live one."""
    detail = f"{made.share / 10:g} % to slot {made.spare}"
    return Draft(SlotStep.SHARE.value, made.endpoint, EDGES_S, detail, release_arguments(made))


def canary_draft(made: Release, canary: Canary) -> Draft:
    """Return the step that gives the other slot a share, watches, and takes it back if it must."""
    detail = f"{made.share / 10:g} % to slot {made.spare} for {canary.seconds:g} s"
    told = {**release_arguments(made), **canary.as_arguments(), **RENEWS}
    return Draft(SlotStep.CANARY.value, made.endpoint, canary.seconds + EDGES_S, detail, told)


def cut_over_draft(
    held: Release, made: Release, *, part: bool = False, force: Force | None = None
) -> Draft:
    """Return the step that has every edge send to another slot.

    ``part``: ``min_ready`` replicas with that slot are enough; else all that serve must have it.
    ``force``: what the step may waive of that when it looks once more.
    """
    source = f"from slot {held.live} " if held.live != made.live else ""
    detail = f"{source}to slot {made.live} on every edge"
    told = {**release_arguments(made), **({"part": "yes"} if part else {})}
    told |= {"force": force.value} if force else {}
    return Draft(SlotStep.CUT_OVER.value, made.endpoint, EDGES_S, detail, told)


def keep_pins_draft(made: Release, pins_s: float) -> Draft:
    """Return the step that lets pinned conversations stay with their version for a while."""
    detail = f"for {pins_s:g} s"
    told = {**release_arguments(made), "pins_s": f"{pins_s:g}", **RENEWS}
    return Draft(SlotStep.KEEP_PINS.value, made.endpoint, pins_s + EDGES_S, detail, told)


def release_arguments(made: Release) -> dict[str, str]:
    """Return a release as a step's arguments."""
    return {
        "asked": made.asked,
        "live": made.live,
        "slots": " ".join(f"{slot}={digest}" for slot, digest in sorted(made.slots.items())),
        "open": " ".join(made.open),
        "share": str(made.share),
        "previous": made.previous,
    }


def release_of_arguments(endpoint: str, given: Mapping[str, str]) -> Release:
    """Return the release that a step is to make true."""
    slots = dict(pair.split("=", 1) for pair in given["slots"].split())
    return Release(
        endpoint,
        given["asked"],
        given["live"],
        slots,
        tuple(given["open"].split()),
        share=int(given.get("share", "0")),
        previous=given.get("previous", ""),
    )


def _proof_drafts(site: Site, node: Node, slot: str, checkpoint: str) -> tuple[Draft, ...]:
    start_s = float(site.inference[node.endpoint].start_deadline_s)
    what = _what(node.endpoint, slot, checkpoint)
    return (
        Draft(SlotStep.AWAIT.value, node.name, start_s, _where(slot), {**what, **RENEWS}),
        Draft(SlotStep.PROVE.value, node.name, PROVE_S, _where(slot), what),
    )


def _what(name: str, slot: str, checkpoint: str) -> dict[str, str]:
    return {"slot": slot, "checkpoint": checkpoint, "endpoint": name}


def _where(slot: str) -> str:
    return f"slot {slot}"
