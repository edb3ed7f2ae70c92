"""All slots of a node: one gate for each that is to load something, whenever that changes.

A slot that is given another checkpoint gets another gate, which begins at STARTING: nothing that
was proven of the checkpoint before is believed of the new one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from . import baselines, slots
from .errors import NodeError
from .gate import Gate
from .servers import EMPTY, ControlServer, HealthServer
from .service import NodeService
from .settings import Settings, load
from .triton import Triton

LOOK_EVERY_S = 0.3
WITHOUT_TOKEN_IDS = frozenset({"vllm"})
"""Backends whose answers name their tokens only among the log-probabilities."""
_log = logging.getLogger("permafrost-node")


class Slots:
    """The services of the slots that are to load something."""

    def __init__(self, settings: Settings, make: Callable[[Settings], NodeService]) -> None:
        self._settings = settings
        self._make = make
        self._running: dict[str, NodeService] = {}
        self._lock = threading.Lock()

    def look(self) -> dict[str, NodeService]:
        """Make the services those of what the slots are to load now, and return them."""
        with self._lock:
            try:
                wanted = slots.loaded(self._settings)
            except NodeError as error:
                _log.error("%s", error)  # what is known goes on: nothing new is believed
                return dict(self._running)
            for slot, service in list(self._running.items()):
                if wanted.get(slot) != service.settings.checkpoint:
                    service.stop()
                    del self._running[slot]
            for slot in wanted.keys() - self._running.keys():
                self._running[slot] = self._make(slots.view(self._settings, slot))
                self._running[slot].start()
                _log.info("slot %s is pinned to %s", slot, wanted[slot])
            return dict(self._running)

    def watch(self) -> None:
        """Look again and again, in a thread of its own."""
        while True:
            self.look()
            time.sleep(LOOK_EVERY_S)

    def of(self, slot: str) -> NodeService | None:
        """Return what answers for a slot; without a name: for the first that is loaded."""
        running = self.look()
        return running.get(slot or min(running, default=""))

    def state(self) -> dict[str, Any]:
        """Return the state of the slot that is meant by default, and ``slots`` with all."""
        told = {slot: service.state() for slot, service in sorted(self.look().items())}
        empty = {"schema": 1, "node": self._settings.node, "state": EMPTY, "checkpoint": ""}
        first: dict[str, Any] = next(iter(told.values()), {**empty, "pinned": "", "reason": ""})
        return {**first, "slots": told}


def make_service(settings: Settings) -> NodeService:
    """Return the service of a slot, wired to its Triton."""
    backend = settings.serving.get("batch", {}).get("backend", "")
    triton = Triton(
        settings.ports,
        settings.model_name,
        settings.counters_file,
        gives_ids=backend not in WITHOUT_TOKEN_IDS,
    )
    file = settings.fingerprint_of(settings.checkpoint)
    # Who may sign is read at each admission: a convergence that was cut after it wrote the
    # settings has started nobody anew, and a demand that came since must count.
    gate = Gate(
        triton,
        settings.checkpoint,
        lambda: baselines.load(file, settings.checkpoint, load(settings.source).baseline_signers),
        time.monotonic,
    )
    return NodeService(settings, gate, triton)


def serve(settings: Settings) -> None:
    """Serve until ended."""
    node = Slots(settings, make_service)
    node.look()
    threading.Thread(target=node.watch, name="slots", daemon=True).start()
    control = ControlServer(settings.control_socket, node)
    threading.Thread(target=control.serve_forever, name="control", daemon=True).start()
    with HealthServer(settings.health_port, node) as health:
        health.serve_forever()
