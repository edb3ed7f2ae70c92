"""The steps on slots: what each kind is told, and in which order a slot is filled or emptied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from permafrost.planning.release import Release
from permafrost.planning.replicas import EDGES_S, PROVE_S, RENEWS, UP_S
from permafrost.planning.steps import Draft
from permafrost.site.model import Site
from permafrost.topology import replicas

LOAD_S = 1500.0
UNLOAD_S = 240.0


class SlotStep(StrEnum):
    """Kinds of steps on slots."""

    RECORD = "record-release"
    LOAD = "load-slot"
    AWAIT = "await-slot"
    PROVE = "prove-slot"
    AWAIT_UP = "await-slot-up"
    CUT_OVER = "cut-over"
    AWAIT_IDLE = "await-slot-idle"
    UNLOAD = "unload-slot"


def load_drafts(site: Site, name: str, slot: str, checkpoint: str) -> tuple[Draft, ...]:
    """Return the steps that load and prove a checkpoint on each replica, one after another."""
    start_s = float(site.inference[name].start_deadline_s)
    drafts: list[Draft] = []
    for node in replicas(site, name):
        what = {"slot": slot, "checkpoint": checkpoint, "endpoint": name}
        where = f"slot {slot}"
        drafts += [
            Draft(SlotStep.LOAD.value, node.name, LOAD_S, where, {**what, **RENEWS}),
            Draft(SlotStep.AWAIT.value, node.name, start_s, where, {**what, **RENEWS}),
            Draft(SlotStep.PROVE.value, node.name, PROVE_S, where, what),
            Draft(SlotStep.AWAIT_UP.value, node.name, UP_S, where, what),
        ]
    return tuple(drafts)


def empty_drafts(site: Site, held: Release) -> tuple[Draft, ...]:
    """Return the steps that empty the slot that does not answer."""
    alone = replace(held, slots={held.live: held.checkpoint}, open=(held.live,))
    return (record_draft(alone, f"slot {held.live} alone"),
            *unload_drafts(site, held.endpoint, held.spare))  # fmt: skip


def unload_drafts(site: Site, name: str, slot: str) -> tuple[Draft, ...]:
    """Return the steps that empty a slot of each replica once nothing is under way there."""
    idle_s = float(site.inference[name].drain_deadline_s)
    drafts: list[Draft] = []
    for node in replicas(site, name):
        what = {"slot": slot, "endpoint": name}
        where = f"slot {slot}"
        drafts += [
            Draft(SlotStep.AWAIT_IDLE.value, node.name, idle_s, where, {**what, **RENEWS}),
            Draft(SlotStep.UNLOAD.value, node.name, UNLOAD_S, where, what),
        ]
    return tuple(drafts)


def record_draft(made: Release, detail: str) -> Draft:
    """Return the step that records what an endpoint's slots are to hold."""
    return Draft(SlotStep.RECORD.value, made.endpoint, EDGES_S, detail, release_arguments(made))


def cut_over_draft(held: Release, made: Release) -> Draft:
    """Return the step that has every edge send to another slot."""
    detail = f"from slot {held.live} to {made.live} on every edge"
    return Draft(SlotStep.CUT_OVER.value, made.endpoint, EDGES_S, detail, release_arguments(made))


def release_arguments(made: Release) -> dict[str, str]:
    """Return a release as a step's arguments."""
    return {
        "asked": made.asked,
        "live": made.live,
        "slots": " ".join(f"{slot}={digest}" for slot, digest in sorted(made.slots.items())),
        "open": " ".join(made.open),
    }


def release_of_arguments(endpoint: str, given: Mapping[str, str]) -> Release:
    """Return the release that a step is to make true."""
    slots = dict(pair.split("=", 1) for pair in given["slots"].split())
    return Release(endpoint, given["asked"], given["live"], slots, tuple(given["open"].split()))
