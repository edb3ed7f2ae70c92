"""Whether this node may serve: the only way in is a real generation with the recorded tokens.

    STARTING --ready, digest pinned, probes pass--> ADMITTED
    STARTING --digest or tokens differ-----------> OUT
    ADMITTED --Triton silent or gone-------------> STARTING      (the gate again)
    ADMITTED --a token differs, withdrawn--------> OUT
    OUT      --Triton restarted, or asked--------> STARTING      (never while withdrawn)
    any      --its backend died, or long silence-> STARTING, and it must be started anew

Invariants: ADMITTED is entered only by ``_enter`` after its probes passed against the Triton
that now answers; ``healthy`` is true only while ADMITTED and Triton answered a moment ago.
Slowness alone does not withdraw: a server that answers late and gives tokens meanwhile stays
healthy; one that does neither fails the health call, and its state stays for a while.

``tick`` is called a few times a second by one thread and asks only what is quick. ``step`` does
what may take long (generations); it is called by another thread, so a hung generation never
delays ``tick``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from .fingerprint import ADMISSION_PROBES, Probe, first_difference
from .triton import Load, TritonError
from .view import Server, Verdict, View

STARTING, ADMITTED, OUT = "STARTING", "ADMITTED", "OUT"
FRESH_S = 1.2
SILENT_S = 6.0
HUNG_S = 30.0
LIFE_EVERY_S = 5.0
STALLED_S = 30.0
LIFE_DEADLINE_S = 10.0
PROBE_DEADLINE_S = 60.0
PROBE_EVERY_S = 1.0


class Gate:
    """The state of one node. Thread-safe."""

    def __init__(
        self,
        server: Server,
        pinned: str,
        probes: Callable[[], Sequence[Probe]],
        now: Callable[[], float],
    ) -> None:
        self._server = server
        self._pinned = pinned
        self._probes = probes
        self._now = now
        self._lock = threading.Lock()
        self._generating = threading.Lock()
        self._state, self._reason = STARTING, "Triton has not answered yet"
        self._withdrawn = False
        self._load = Load(0, 0, 0)
        self._ready_at: float | None = None
        self._alive_at = now()
        self._probed_at = now() - PROBE_EVERY_S
        self._life: tuple[Probe, ...] = ()
        self._incarnation = 0
        self._loaded = ""
        self._silent_since: float | None = None
        self._backend_ended = False

    def view(self) -> View:
        """Return state, reason, load and health as of now."""
        with self._lock:
            fresh = self._ready_at is not None and self._now() - self._ready_at <= FRESH_S
            healthy = self._state == ADMITTED and fresh
            reason = self._reason
            if self._state == ADMITTED and not fresh:
                reason = "Triton does not answer"
            hung = self._silent_since is not None and self._now() - self._silent_since > HUNG_S
            must_restart = hung or self._backend_ended
            return View(self._state, reason, self._load, healthy, self._loaded, must_restart)

    def tick(self) -> None:
        """Look at Triton: ready, gone, silent, without a backend; and at what it works on.

        Tokens that came before the call say nothing of one that hangs in it.
        """
        self._gives_tokens()
        try:
            self._server.check_ready()
        except TritonError as error:
            if not (error.silent and self._gives_tokens()):
                self._not_ready(error)
            return
        if self._server.backend_has_ended():
            dead = TritonError("the backend's process has ended", gone=True)
            self._not_ready(dead, backend_ended=True)
            return
        self._is_there()
        self.look_at_load()

    def _is_there(self) -> None:
        with self._lock:
            if self._ready_at is None:
                self._alive_at = self._now()
            self._ready_at = self._now()
            self._silent_since, self._backend_ended = None, False

    def _gives_tokens(self) -> bool:
        """Whether tokens came since the last look: then a late answer is slow and not hung."""
        try:
            tokens = self._server.tokens()
        except TritonError:
            return False
        with self._lock:
            if self._ready_at is None or tokens == self._load.tokens:
                return False
            self._load = Load(self._load.pending, self._load.executing, tokens)
            self._ready_at = self._alive_at = self._now()
            self._silent_since = None
            return True

    def look_at_load(self) -> Load:
        """Return what Triton works on now; what it last said where it does not answer."""
        try:
            load = self._server.load()
        except TritonError:
            return self.view().load
        with self._lock:
            if load.tokens != self._load.tokens:
                self._alive_at = self._now()
            self._load = load
        return load

    def step(self) -> None:
        """Do the next long thing: pass the gate, or show life by a tiny generation."""
        with self._lock:
            ready, state, quiet_s = self._ready_at, self._state, self._now() - self._alive_at
            idle, loaded = self._load.idle, self._loaded
        if ready is None:
            return
        if state == STARTING:
            if self._now() - self._probed_at >= PROBE_EVERY_S:
                self.probe()
        elif state == ADMITTED and quiet_s >= (LIFE_EVERY_S if idle else STALLED_S):
            self._show_life()
        elif state == OUT and not loaded:
            with suppress(TritonError):  # restarted while it stays out: what it has is still told
                self._ask_loaded()

    @contextmanager
    def silenced(self) -> Iterator[None]:
        """Keep our own generations out for a block: somebody else probes."""
        with self._generating:
            yield
            with self._lock:
                self._alive_at = self._now()

    def probe(self, *, every: bool = False) -> Verdict:
        """Pass the gate now: digest, then real generations. A pass admits, also the withdrawn."""
        with self._generating:
            with self._lock:
                incarnation, quiet = self._incarnation, self._load.idle
                self._probed_at = self._now()
            try:
                probes = self._probes()
                asked = probes if every else probes[:ADMISSION_PROBES]
                difference = self._digest_difference() or first_difference(asked, self._generate)
            except TritonError as error:
                self._set(STARTING, str(error), incarnation)
                return Verdict(False, str(error), quiet, 0)
            except Exception as error:  # whatever it is: closed
                self._set(OUT, str(error), incarnation)
                return Verdict(False, str(error), quiet, 0)
            if difference:
                self._set(OUT, difference, incarnation)
                return Verdict(False, difference, quiet, len(asked))
            entered = self._enter(incarnation, probes[0].shortened())
            detail = "" if entered else "Triton restarted during the probe"
            return Verdict(entered, detail, quiet, len(asked))

    def withdraw(self, reason: str) -> None:
        """Take the node out until a probe is asked for."""
        with self._lock:
            self._withdrawn = True
            self._state, self._reason = OUT, reason

    def _generate(self, text_input: str, sampling: dict[str, Any]) -> tuple[int, ...]:
        return self._server.generate(text_input, sampling, PROBE_DEADLINE_S)

    def _digest_difference(self) -> str:
        loaded = self._ask_loaded()
        if loaded == self._pinned:
            return ""
        return f"Triton has loaded {loaded or 'no known checkpoint'}, pinned is {self._pinned}"

    def _ask_loaded(self) -> str:
        with self._lock:
            incarnation = self._incarnation
        loaded = self._server.checkpoint()
        with self._lock:
            if incarnation == self._incarnation:
                self._loaded = loaded
        return loaded

    def _show_life(self) -> None:
        with self._generating:
            with self._lock:
                incarnation = self._incarnation
            try:
                difference = first_difference(
                    self._life,
                    lambda text, sampling: self._server.generate(text, sampling, LIFE_DEADLINE_S),
                )
            except TritonError as error:
                self._set(STARTING, f"no generation: {error}", incarnation)
                return
            if difference:
                self._set(OUT, difference, incarnation)
            else:
                with self._lock:
                    self._alive_at = self._now()

    def _not_ready(self, error: TritonError, *, backend_ended: bool = False) -> None:
        with self._lock:
            self._backend_ended = backend_ended
            if not error.silent:
                self._silent_since = None
            elif self._silent_since is None:
                self._silent_since = self._now()
            silent = self._ready_at is None or self._now() - self._ready_at > SILENT_S
            if not (error.gone or silent):
                return
            if self._ready_at is not None:
                self._incarnation += 1
            self._ready_at = None
            self._load, self._loaded = Load(0, 0, 0), ""
            if not self._withdrawn:
                self._state, self._reason = STARTING, str(error)

    def _enter(self, incarnation: int, life: Probe) -> bool:
        with self._lock:
            if incarnation != self._incarnation or self._ready_at is None:
                return False
            self._withdrawn = False
            self._life = (life,)
            self._loaded = self._pinned  # so it said at the beginning of this probe
            self._state, self._reason = ADMITTED, ""
            self._alive_at = self._now()
            return True

    def _set(self, state: str, reason: str, incarnation: int) -> None:
        with self._lock:
            if incarnation == self._incarnation and not self._withdrawn:
                self._state, self._reason = state, reason
