"""How far a transfer is: bytes expected, moved, and spared because they were there."""

from __future__ import annotations

import threading


class Meter:
    """Counts bytes of several threads; a subclass may show them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.expected = 0
        self.moved = 0
        self.spared = 0

    def expect(self, size: int) -> None:
        """So many bytes more have to be moved or spared."""
        self._add(size, 0, 0)

    def move(self, size: int) -> None:
        """So many bytes passed the wire."""
        self._add(0, size, 0)

    def spare(self, size: int) -> None:
        """So many bytes were there already, or were mounted."""
        self._add(0, 0, size)

    def changed(self) -> None:
        """Called, by one thread at a time, whenever a count changed."""

    def _add(self, expected: int, moved: int, spared: int) -> None:
        with self._lock:
            self.expected += expected
            self.moved += moved
            self.spared += spared
            self.changed()

    def as_dict(self) -> dict[str, int]:
        """Return plain values for JSON."""
        return {"bytes_moved": self.moved, "bytes_spared": self.spared}
