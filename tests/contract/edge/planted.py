"""What was planted past the verification of bytes, under the pinned name: a real Triton loads it.

The node's own gate watches it and answers the edges' checks; everything before it is ours.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.build import parts
from model_registry.fingerprint.referrers import find_in_layout
from model_registry.layout import OciLayout
from permafrost.node import fingerprint, settings
from permafrost.node.gate import Gate
from permafrost.node.servers import HealthServer
from permafrost.node.service import NodeService
from tests.contract.edge.front import Front
from tests.contract.edge.real import GRPC, HTTP, KNOWN
from tests.contract.fingerprint import variants
from tests.contract.fingerprint.server import Served, files_of_part, served

HEALTH = 9100
KNOWN_AFTER_S = 60.0
ASKED, EVERY_S = 40, 0.25


def planted(folder: Path, *, kind: str) -> dict[str, Any]:
    """Serve what was planted as if it were the pinned checkpoint; say what clients got."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    pinned, known = recorded()
    (folder / "front").mkdir()
    tree = _tree(folder, kind)
    with served(tree, folder / "server", pinned, http=HTTP, grpc=GRPC) as running:
        with watched(running, folder, pinned, known, HEALTH) as service:
            state = service.state()
            with Front(folder / "front", behind=(8010,), is_answered=False) as front:
                time.sleep(2)  # checks come after the first quarter of a second
                asked = []
                for _ in range(ASKED):
                    asked.append(front.ask(data=json.dumps(KNOWN).encode(), timeout_s=120))
                    time.sleep(EVERY_S)
        tokens = running.triton.generate(KNOWN["text_input"], {"max_tokens": 8}, 120)
    return {
        "state": state["state"],
        "reason": state["reason"],
        "statuses": Counter(a.status for a in asked),
        "tokens": list(tokens),
    }


def prepared(folder: Path) -> tuple[Path, str, bytes]:
    """Make a folder and a network ready; return the lab's chat model, its digest, fingerprint."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for name in ("files", "front"):
        (folder / name).mkdir()
    return files_of_part("checkpoint-chat", folder / "files"), *recorded()


def recorded() -> tuple[str, bytes]:
    """Return the digest of the lab's chat checkpoint and its fingerprint."""
    part = parts.path("checkpoint-chat")
    pinned = (part / "digest").read_text().strip()
    return pinned, json.dumps(find_in_layout(OciLayout(part / "oci"), pinned)).encode()


@contextmanager
def watched(
    running: Served, folder: Path, pinned: str, known: bytes, port: int
) -> Iterator[NodeService]:
    """Let the node's own gate watch a Triton and answer for it; it has judged when this begins."""
    probes = fingerprint.parse(known, pinned, "the registry")
    gate = Gate(running.triton, pinned, lambda: probes, time.monotonic)
    service = NodeService(_settings(folder, pinned), gate)
    service.start()
    with HealthServer(port, service) as health:
        threading.Thread(target=health.serve_forever, daemon=True).start()
        try:
            _await_verdict(service)
            yield service
        finally:
            health.shutdown()
            service.stop()


def _tree(folder: Path, kind: str) -> Path:
    part = "checkpoint-child" if kind == "checkpoint" else "checkpoint-chat"
    (folder / "files").mkdir()
    tree = files_of_part(part, folder / "files")
    change = {"template": variants.other_template, "byte": variants.flipped}.get(kind)
    return change(tree, folder / "changed") if change else tree


def _settings(folder: Path, pinned: str) -> settings.Settings:
    path = folder / "node.json"
    of_slot = {"a": {"http": HTTP, "metrics": 1}, "b": {"http": 8010, "metrics": 1}}
    text = {
        "node": "oslo-chat-01", "endpoint": "chat", "model_name": "chat", "slot": "a",
        "checkpoint": pinned, "triton": of_slot, "models_dir": str(folder / "models"),
        "slots_dir": str(folder / "slots"), "control_socket": str(folder / "control.sock"),
        "fingerprint_file": str(folder / "fingerprint.json"),
        "registry": {"url": "https://registry.test", "repository": "r", "username": "u",
                     "password_file": str(folder / "p"), "ca_file": str(folder / "c")},
    }  # fmt: skip
    path.write_text(json.dumps(text), encoding="utf-8")
    return settings.load(path)


def _await_verdict(service: NodeService) -> dict[str, Any]:
    end = time.monotonic() + KNOWN_AFTER_S
    while (state := service.state())["state"] == "STARTING":
        assert time.monotonic() < end, state
        time.sleep(0.2)
    return state
