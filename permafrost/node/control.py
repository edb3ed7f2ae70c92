"""Asking the running service, over its socket."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

from .errors import NodeError
from .service import SLOT_HEADER
from .settings import Settings

QUICK_S = 10.0
PROBE_S = 170.0
RECORD_S = 1170.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("node", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(
    settings: Settings,
    method: str,
    path: str,
    timeout_s: float = QUICK_S,
    body: bytes | None = None,
    slot: str = "",
) -> dict[str, Any]:
    """Return the service's answer about a slot. Raises NodeError where it does not answer."""
    connection = _Connection(str(settings.control_socket), timeout_s)
    try:
        connection.request(method, path, body, {SLOT_HEADER: slot} if slot else {})
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NodeError(
            "NODE_SERVICE_SILENT",
            f"the service on this node does not answer: {type(error).__name__}",
            "systemctl status permafrost-node",
        ) from error
    finally:
        connection.close()
