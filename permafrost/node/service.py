"""The service: two threads that watch, a health port for the edges, a socket for root.

The health port answers anybody on the node (the node's HAProxy passes the edges' checks on). What
changes state goes over a UNIX socket that only root and the service may open.
"""

from __future__ import annotations

import http.server
import json
import logging
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import fingerprint, recording, refusals, scrub, served, serving_class
from .errors import NodeError
from .gate import ADMITTED, OUT, STARTING, Gate, View
from .settings import Settings
from .triton import Triton

TICK_S = 0.4
STEP_S = 0.3
AWAIT_READY_S = 90.0
AWAIT_QUIET_S = 10.0
_log = logging.getLogger("permafrost-node")


class NodeService:
    """Gate, watchers and the answers that the two servers give."""

    def __init__(
        self, settings: Settings, gate: Gate, engine: recording.Engine | None = None
    ) -> None:
        self.settings = settings
        self.gate = gate
        self._engine = engine
        self.serving_class = serving_class.observed(settings)
        self._stop = threading.Event()
        self._said = ""

    def start(self) -> None:
        """Start the two watching threads."""
        for name, work, every_s in (
            ("tick", self.gate.tick, TICK_S),
            ("step", self.gate.step, STEP_S),
        ):
            threading.Thread(
                target=self._repeat, args=(work, every_s), name=name, daemon=True
            ).start()

    def stop(self) -> None:
        """Let the watching threads end."""
        self._stop.set()

    def state(self) -> dict[str, Any]:
        """Return what ``state --json`` prints.

        ``checkpoint`` is what Triton said that it has loaded, empty where that is not known;
        ``pinned`` is what it should be.
        """
        self.gate.look_at_load()
        view = self.gate.view()
        state, reason = self._told(view)
        scrubbed = scrub.last(self.settings.models_dir)
        return {
            "schema": 1,
            "node": self.settings.node,
            "state": state,
            "checkpoint": view.loaded,
            "pinned": self.settings.checkpoint,
            "slot": self.settings.slot,
            "pending": view.load.pending,
            "executing": view.load.executing,
            "reason": reason or scrub.complaint(scrubbed),
            "scrub": scrubbed,
            "serving_class": self.serving_class,
        }

    def _told(self, view: View) -> tuple[str, str]:
        """Return state and reason: a server that was not let start is out, it does not start."""
        refusal = refusals.last(self.settings.models_dir, self.settings.slot)
        if view.state == STARTING and refusal:
            return OUT, f"Triton is not let start: {refusal}"
        return view.state, view.reason

    def health(self) -> tuple[int, dict[str, Any]]:
        """Return status and body of the edges' check."""
        view = self.gate.view()
        return (200 if view.healthy else 503), {
            "schema": 1,
            "node": self.settings.node,
            "state": view.state,
            "checkpoint": view.loaded,
            "pinned": self.settings.checkpoint,
            "reason": view.reason or scrub.complaint(scrub.last(self.settings.models_dir)),
        }

    def probe(self, *, every: bool) -> dict[str, Any]:
        """Wait for quiet and for Triton, probe and return the result."""
        self._await_quiet()
        deadline = time.monotonic() + AWAIT_READY_S
        verdict = self.gate.probe(every=every)
        while not verdict.passed and self._told(self.gate.view())[0] == STARTING:
            if time.monotonic() >= deadline or self._stop.wait(TICK_S):
                break
            verdict = self.gate.probe(every=every)
        answer = self.state()
        if not verdict.passed and self.gate.view().state == answer["state"]:
            answer["reason"] = verdict.detail or answer["reason"]
        passed = verdict.passed and answer["state"] == ADMITTED
        return {**answer, "passed": passed, "quiet": verdict.quiet, "probes": verdict.probes}

    def record(self, asked: bytes) -> dict[str, Any]:
        """Answer a probe set, alone and in silence; an error is part of the answer."""
        told = self.state()
        if self._engine is None:
            return {**told, "error": {"code": "PROBE_UNANSWERED", "message": "no model server"}}
        try:
            probes, top_k = recording.read_request(asked)
            self._await_quiet()
            with self.gate.silenced():
                loaded, answers = recording.answer_all(self._engine, probes, top_k)
        except NodeError as error:
            return {
                **told,
                "error": {"code": error.code, "message": error.message, "hint": error.hint},
            }
        return {**told, "checkpoint": loaded, "probes": answers}

    def withdraw(self) -> dict[str, Any]:
        """Take the node out of rotation."""
        self.gate.withdraw("withdrawn by hand: permafrost-node probe brings it back")
        return self.state()

    def _await_quiet(self) -> None:
        """Give what is in flight a while to end: recorded tokens were had without company."""
        deadline = time.monotonic() + AWAIT_QUIET_S
        while not self.gate.look_at_load().idle and time.monotonic() < deadline:
            if self._stop.wait(TICK_S):
                return

    def _repeat(self, work: Callable[[], None], every_s: float) -> None:
        while not self._stop.wait(every_s):
            try:
                work()
            except Exception as error:
                # The watcher must live; without fresh facts the health call fails by itself
                _log.error("%s failed: %s", threading.current_thread().name, type(error).__name__)
            if work == self.gate.tick:
                self.tell()

    def tell(self) -> None:
        """Log what has changed, and note what the slot serves where it is admitted now."""
        view = self.gate.view()
        said = f"{view.state} {view.reason}".strip()
        if said == self._said:
            return
        _log.info("%s", said)
        self._said = said
        if view.state != ADMITTED:
            return
        try:
            served.note(self.settings.served_dir, self.settings.slot, view.loaded)
        except OSError as error:  # who cannot say so serves nevertheless
            _log.error("what is served was not noted: %s", error.strerror)


class _Handler(http.server.BaseHTTPRequestHandler):
    """Shared by both servers; ``service`` is set on a subclass."""

    service: NodeService
    protocol_version = "HTTP/1.1"
    timeout = 10

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
        self.answer(*self.service.health())


class ControlHandler(_Handler):
    """What ``permafrost-node`` asks on behalf of root."""

    def do_GET(self) -> None:
        """Answer state and health."""
        if self.path == "/state":
            self.answer(200, self.service.state())
        else:
            self.answer(404, {"error": "unknown"})

    def do_POST(self) -> None:
        """Probe, record or withdraw."""
        if self.path in ("/probe", "/probe?every=1"):
            self.answer(200, self.service.probe(every=self.path.endswith("every=1")))
        elif self.path == "/withdraw":
            self.answer(200, self.service.withdraw())
        elif self.path == "/record":
            size = int(self.headers.get("Content-Length") or 0)
            if size > recording.MOST_BYTES:
                self.answer(413, {"error": "too large"})
                return
            self.answer(200, self.service.record(self.rfile.read(size)))
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

    def __init__(self, path: Path, service: NodeService) -> None:
        path.unlink(missing_ok=True)
        handler = type("Control", (ControlHandler,), {"service": service})
        super().__init__(str(path), handler)
        path.chmod(0o600)


class HealthServer(_Quiet, http.server.ThreadingHTTPServer):
    """HTTP on the loopback address."""

    daemon_threads = True
    request_queue_size = 64
    address_family = socket.AF_INET

    def __init__(self, port: int, service: NodeService) -> None:
        handler = type("Health", (HealthHandler,), {"service": service})
        super().__init__(("127.0.0.1", port), handler)


def make_service(settings: Settings) -> NodeService:
    """Return the service of a node, wired to its Triton."""
    triton = Triton(settings.ports, settings.model_name, settings.counters_file)
    gate = Gate(
        triton,
        settings.checkpoint,
        lambda: fingerprint.load(settings.fingerprint_file, settings.checkpoint),
        time.monotonic,
    )
    return NodeService(settings, gate, triton)


def serve(settings: Settings) -> None:
    """Serve until ended."""
    service = make_service(settings)
    control = ControlServer(settings.control_socket, service)
    threading.Thread(target=control.serve_forever, name="control", daemon=True).start()
    service.start()
    _log.info("%s, slot %s, pinned to %s", settings.node, settings.slot, settings.checkpoint)
    with HealthServer(settings.health_port, service) as health:
        health.serve_forever()
