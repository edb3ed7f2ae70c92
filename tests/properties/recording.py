"""What a step that records a release leaves, on values alone."""

from __future__ import annotations

from permafrost.planning.release import Release
from permafrost.planning.slot_steps import release_of_arguments
from permafrost.planning.steps import OperationStep


def recorded(held: Release, step: OperationStep, name: str) -> Release:
    """Return what is held afterwards: of the same slots the record opens none that was open."""
    made = release_of_arguments(name, step.arguments)
    if step.kind == "record-release":
        same = dict(held.slots) == dict(made.slots)
        if same and set(made.open) <= set(held.open):
            return held
        assert made.live == held.live, "a record switches nobody"
    return made
