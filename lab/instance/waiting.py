"""Waiting for a condition with a deadline. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T | None],
    timeout_s: float,
    interval_s: float = 0.05,
) -> T | None:
    """Ask ``condition`` until it answers something true; None when the time is over."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            return None
        time.sleep(interval_s)
