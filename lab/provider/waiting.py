"""Waiting for something that only polling can tell, with a deadline and a way out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from lab.provider.errors import CancelledError

T = TypeVar("T")

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.25
GROWTH = 1.6


def wait_until(
    probe: Callable[[], T | None], timeout_s: float, cancelled: threading.Event
) -> T | None:
    """Return the first answer of `probe` that is not None, or None when time is up.

    Raises CancelledError as soon as the engine asks to stop. Each wait begins with short pauses,
    since most tasks are done at once, and then becomes cheap, since others take minutes.
    """
    deadline = time.monotonic() + timeout_s
    pause = FIRST_PAUSE_S
    while True:
        if cancelled.is_set():
            raise CancelledError
        answer = probe()
        if answer is not None:
            return answer
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        cancelled.wait(min(pause, left))
        pause = min(pause * GROWTH, LONGEST_PAUSE_S)
