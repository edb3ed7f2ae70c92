"""Telling systemd that a start goes on, as long as it really does.

A start has a deadline, so that one that hangs is noticed. Reading a checkpoint takes as long as
it is large: whoever reads moves the deadline with each stretch that was read, and a disk that
hangs moves nothing. systemd's own protocol (sd_notify: EXTEND_TIMEOUT_USEC).
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable

EVERY_S = 5.0
EXTEND_S = 120


class Patience:
    """Called with bytes that were read; passes on, now and then, that more time is needed."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self._lock = threading.Lock()
        self._told_at = now()

    def __call__(self, count: int) -> None:
        """Note progress; a count of nothing is none."""
        if not self._address or not count:
            return
        with self._lock:
            if self._now() - self._told_at < EVERY_S:
                return
            self._told_at = self._now()
        self._tell(f"EXTEND_TIMEOUT_USEC={EXTEND_S * 1_000_000}")

    def _tell(self, message: str) -> None:
        address = self._address
        if address.startswith("@"):  # Linux's abstract names
            address = "\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
                notify.settimeout(1)
                notify.sendto(message.encode(), address)
        except OSError:
            return  # whoever does not listen goes by its own deadline
