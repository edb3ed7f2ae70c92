"""Asking the running service, over its socket.

By a request of a few lines and not by ``http.client``: importing that takes longer than asking,
and each question of the orchestrator's is a process of its own.
"""

from __future__ import annotations

import json
import socket
from typing import Any

from .errors import NodeError
from .settings import Settings

SLOT_HEADER = "permafrost-slot"
QUICK_S = 10.0
PROBE_S = 170.0
RECORD_S = 1170.0


def ask(
    settings: Settings,
    method: str,
    path: str,
    timeout_s: float = QUICK_S,
    body: bytes | None = None,
    slot: str = "",
) -> dict[str, Any]:
    """Return the service's answer about a slot. Raises NodeError where it does not answer."""
    body = body or b""
    header = f"{SLOT_HEADER}: {slot}\r\n" if slot else ""
    # After an answer to HTTP/1.0 the service closes: its end is the answer's.
    head = f"{method} {path} HTTP/1.0\r\n{header}Content-Length: {len(body)}\r\n\r\n"
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(settings.control_socket))
            connection.sendall(head.encode() + body)
            told = b"".join(iter(lambda: connection.recv(65536), b""))
        answer: dict[str, Any] = json.loads(told.partition(b"\r\n\r\n")[2])
        return answer
    except (OSError, ValueError) as error:
        raise NodeError(
            "NODE_SERVICE_SILENT",
            f"the service on this node does not answer: {type(error).__name__}",
            "systemctl status permafrost-node",
        ) from error
