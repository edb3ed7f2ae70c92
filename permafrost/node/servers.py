"""The node's two servers: a health port for the edges, a socket for root.

The health port answers anybody on the node (the node's HAProxy passes the edges' checks on). What
changes state goes over a UNIX socket that only root and the service may open. Which slot is meant
stands in a header; without it the one that is meant by default.
"""

from __future__ import annotations

import http.server
import json
import logging
import socket
import socketserver
import sys
from pathlib import Path
from typing import Any, Protocol

from . import recording
from .control import SLOT_HEADER
from .service import NodeService

EMPTY = "EMPTY"
"""State of a slot that is to load nothing."""
_log = logging.getLogger("permafrost-node")


class Services(Protocol):
    """What answers: one slot, or all of a node."""

    def of(self, slot: str) -> NodeService | None:
        """Return what answers for a slot; None where it is to load nothing."""

    def state(self) -> dict[str, Any]:
        """Return what ``state --json`` prints where no slot is named."""


class _Handler(http.server.BaseHTTPRequestHandler):
    """Shared by both servers; ``service`` is set on a subclass."""

    service: Services
    protocol_version = "HTTP/1.1"
    timeout = 10

    @property
    def slot(self) -> str:
        """The slot that is asked about; empty where none is named."""
        return self.headers.get(SLOT_HEADER, "")

    def answer_empty(self, status: int) -> None:
        """Say that a slot is to load nothing."""
        told = {"schema": 1, "slot": self.slot, "state": EMPTY, "checkpoint": "", "pinned": ""}
        self.answer(status, {**told, "pending": 0, "executing": 0, "reason": "", "passed": False})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        """Send one JSON answer."""
        content = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def address_string(self) -> str:
        """Return a name for the log; a UNIX socket's peer has no address."""
        return "local"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Log no request: checks come twice a second from every edge."""


class HealthHandler(_Handler):
    """What the edges ask."""

    def do_GET(self) -> None:
        """Answer the health check."""
        if self.path != "/permafrost/health":
            self.answer(404, {"error": "only /permafrost/health is offered here"})
            return
        service = self.service.of(self.slot)
        if service is None:
            self.answer_empty(503)
        else:
            self.answer(*service.health())


class ControlHandler(_Handler):
    """What ``permafrost-node`` asks on behalf of root."""

    def do_GET(self) -> None:
        """Answer state and health."""
        if self.path != "/state":
            self.answer(404, {"error": "unknown"})
        elif not self.slot:
            self.answer(200, self.service.state())
        elif (service := self.service.of(self.slot)) is not None:
            self.answer(200, service.state())
        else:
            self.answer_empty(200)

    def do_POST(self) -> None:
        """Probe, record or withdraw."""
        service = self.service.of(self.slot)
        if service is None:
            self.answer_empty(200)
        elif self.path in ("/probe", "/probe?every=1"):
            self.answer(200, service.probe(every=self.path.endswith("every=1")))
        elif self.path == "/withdraw":
            self.answer(200, service.withdraw())
        elif self.path == "/record":
            size = int(self.headers.get("Content-Length") or 0)
            if size > recording.MOST_BYTES:
                self.answer(413, {"error": "too large"})
                return
            self.answer(200, service.record(self.rfile.read(size)))
        else:
            self.answer(404, {"error": "unknown"})


class _Quiet:
    """A checker that closes its connection by reset is everyday business, not a traceback."""

    def handle_error(self, *_: object) -> None:
        """Log what is not a lost connection, by its kind alone."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            _log.error("a request failed: %s", type(error).__name__)


class ControlServer(_Quiet, socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """HTTP over a UNIX socket that nobody else may open."""

    daemon_threads = True

    def __init__(self, path: Path, service: Services) -> None:
        path.unlink(missing_ok=True)
        handler = type("Control", (ControlHandler,), {"service": service})
        super().__init__(str(path), handler)
        path.chmod(0o600)


class HealthServer(_Quiet, http.server.ThreadingHTTPServer):
    """HTTP on the loopback address."""

    daemon_threads = True
    request_queue_size = 64
    address_family = socket.AF_INET

    def __init__(self, port: int, service: Services) -> None:
        handler = type("Health", (HealthHandler,), {"service": service})
        super().__init__(("127.0.0.1", port), handler)
