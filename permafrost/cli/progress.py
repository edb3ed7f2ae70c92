"""Progress in bytes, on standard error: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from model_registry.meter import Meter

LINE_EVERY_S = 5.0


class ShownMeter(Meter):
    """A meter that can say what it counted."""

    def says(self) -> str:
        """Return how many bytes were moved and how many were there."""
        return f"{self.moved:,} bytes moved, {self.spared:,} were there"


class _Bar(ShownMeter):
    def __init__(self, what: str, bars: Progress) -> None:
        super().__init__()
        self._bars, self._task = bars, bars.add_task(what, total=None)

    def changed(self) -> None:
        self._bars.update(
            self._task, total=self.expected, completed=min(self.moved + self.spared, self.expected)
        )


class _Lines(ShownMeter):
    def __init__(self, what: str) -> None:
        super().__init__()
        self._what, self._last = what, time.monotonic()

    def changed(self) -> None:
        if time.monotonic() - self._last >= LINE_EVERY_S:
            self._last = time.monotonic()
            sys.stderr.write(
                f"{self._what}: {self.moved + self.spared:,} of {self.expected:,} bytes\n"
            )


@contextmanager
def progress(what: str) -> Iterator[ShownMeter]:
    """Show how far a transfer is while the block runs."""
    if not sys.stderr.isatty():
        yield _Lines(what)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Bar(what, bars)
