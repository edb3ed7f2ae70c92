"""Ordered, timed parts of a long run: each announced, each with its time, a table at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO


def duration(seconds: float) -> str:
    """Return a time as people say it: 12 s, 3 m 05 s."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} m {whole % 60:02} s"


@dataclass
class Stages:
    """What ran so far, how long it took and how it ended."""

    out: TextIO = field(default_factory=lambda: sys.stdout)
    started: float = field(default_factory=time.monotonic)
    done: list[tuple[str, float, bool]] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str, about: str) -> Iterator[None]:
        """Announce a part, time it, and remember whether it ended well."""
        self.say(f"==> {name}: {about}")
        begun = time.monotonic()
        well = False
        try:
            yield
            well = True
        finally:
            took = time.monotonic() - begun
            self.done.append((name, took, well))
            self.say(f"<== {name}: {'done' if well else 'FAILED'} in {duration(took)}")

    def say(self, text: str) -> None:
        """Write a line at once, so that it is seen before what a child prints next."""
        self.out.write(f"{text}\n")
        self.out.flush()

    def table(self) -> str:
        """Return the parts with their times, and the whole."""
        width = max((len(name) for name, _, _ in self.done), default=5)
        lines = [
            f"  {name:<{width}}  {duration(took):>9}{'' if well else '  FAILED'}"
            for name, took, well in self.done
        ]
        whole = duration(time.monotonic() - self.started)
        return "\n".join([*lines, f"  {'in all':<{width}}  {whole:>9}"])
