"""Asking for a Triton to be started anew: one whose backend has died, or that is silent for long.

The service has no rights over other units. It leaves a file; systemd watches for it and ends that
Triton, so what it still holds is answered by another replica, and it comes back through the gate.
"""

from __future__ import annotations

from pathlib import Path

AGAIN_S = 60.0
"""A start takes its time; one that did not help is asked for again after so long."""


class Mending:
    """Asks for one slot, once for each time that it is needed."""

    def __init__(self, folder: Path, slot: str) -> None:
        self._file = folder / f"restart-{slot}"
        self._asked_at: float | None = None

    def look(self, *, needed: bool, now: float) -> bool:
        """Ask where it is needed and was not asked for already; return whether it was done now."""
        if not needed:
            self._asked_at = None
            return False
        if self._asked_at is not None and now - self._asked_at < AGAIN_S:
            return False
        self._asked_at = now
        self._file.touch()
        return True
