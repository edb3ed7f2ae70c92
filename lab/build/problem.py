"""The one error of the build: a stable code, what happened, and what to do about it."""

from __future__ import annotations

from lab.errors import LabError


class BuildError(LabError):
    """A part could not be built. ``hint`` says what to do next."""
