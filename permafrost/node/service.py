"""The service of one slot: two threads that watch its gate, and the answers about it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from . import recording, refusals, scrub, served, serving_class
from .errors import NodeError
from .gate import ADMITTED, OUT, STARTING, Gate
from .mending import Mending
from .settings import Settings
from .view import View

TICK_S = 0.4
STEP_S = 0.3
AWAIT_READY_S = 90.0
AWAIT_QUIET_S = 10.0
_log = logging.getLogger("permafrost-node")


class NodeService:
    """Gate, watchers and the answers of one slot."""

    def __init__(
        self, settings: Settings, gate: Gate, engine: recording.Engine | None = None
    ) -> None:
        self.settings = settings
        self.gate = gate
        self._engine = engine
        self.serving_class = serving_class.observed(settings)
        self._mending = Mending(settings.control_socket.parent, settings.slot)
        self._stop = threading.Event()
        self._said = ""

    def of(self, slot: str) -> NodeService | None:
        """Return what answers for a slot; an empty name is the slot that is meant by default."""
        return self if slot in ("", self.settings.slot) else None

    def start(self) -> None:
        """Start the two watching threads."""
        for name, work, every_s in (
            ("tick", self.gate.tick, TICK_S),
            ("step", self.gate.step, STEP_S),
        ):
            threading.Thread(
                target=self._repeat,
                args=(work, every_s),
                name=f"{name} {self.settings.slot}",
                daemon=True,
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
        """Return status and body of the edges' check.

        503 is a fact: not admitted. 504: admitted, and Triton is silent, so nobody knows.
        """
        view = self.gate.view()
        silent = view.state == ADMITTED and not view.healthy
        return (200 if view.healthy else 504 if silent else 503), {
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
                self._mend()

    def tell(self) -> None:
        """Log what has changed, and note what the slot serves where it is admitted now."""
        view = self.gate.view()
        said = f"{view.state} {view.reason}".strip()
        if said == self._said:
            return
        _log.info("slot %s: %s", self.settings.slot, said)
        self._said = said
        if view.state != ADMITTED:
            return
        try:
            served.note(self.settings.served_dir, self.settings.slot, view.loaded)
        except OSError as error:  # who cannot say so serves nevertheless
            _log.error("what is served was not noted: %s", error.strerror)

    def _mend(self) -> None:
        """Have Triton started anew where nothing else brings it back."""
        try:
            needed = self.gate.view().must_restart
            if self._mending.look(needed=needed, now=time.monotonic()):
                _log.error("slot %s: Triton is started anew", self.settings.slot)
        except OSError as error:
            _log.error("nobody could be asked to start Triton anew: %s", error.strerror)
