"""One of three replicas is a real Triton, watched by its node's own gate; it fails under load."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.contract.edge.front import Front
from tests.contract.edge.planted import prepared, watched
from tests.contract.edge.real import KNOWN
from tests.contract.fingerprint.server import Served, served

VICTIM = "oslo-chat-02"
HTTP, HEALTH = 8020, 9101
RATE, FAILS_AFTER_S, LASTS_S = 8, 4.0, 12.0
LIMIT_S = 2.0
SHORT = json.dumps(
    {**KNOWN, "sampling_parameters": json.dumps({"max_tokens": 2, "temperature": 0})}
).encode()


def failing(folder: Path, *, kind: str) -> dict[str, Any]:
    """Let it hang, kill all of it or its backend alone; say when it was out and what was lost."""
    tree, pinned, known = prepared(folder)
    instead = {VICTIM: {8000: HTTP, 9100: HEALTH}}
    with (
        served(tree, folder / "server", pinned, http=HTTP) as running,
        watched(running, folder, pinned, known, HEALTH),
        Front(folder / "front", instead=instead) as front,
        ThreadPoolExecutor(max_workers=64) as pool,
    ):
        out = _Out(folder / "front/edge.log")
        asked, began, moment = [], time.time(), 0.0
        for n in range(int(RATE * LASTS_S)):
            time.sleep(max(0.0, began + n / RATE - time.time()))
            if not moment and n >= RATE * FAILS_AFTER_S:
                moment = _fail(running, kind)
                out.watch(moment)
            asked.append(pool.submit(front.ask, data=SHORT))
        if kind == "hang":
            _signal(running, ("tritonserver", "triton_python_backend_stub"), signal.SIGCONT)
        answers = [a.result() for a in asked]
    after = [a for a in answers if a.began >= moment + LIMIT_S]
    lost = [a for a in answers if a.status != 200]
    before = [a.headers.get("permafrost-replica") for a in answers if a.began < moment - 1]
    return {
        "out_after_s": out.seconds,
        "asked_it_before": before.count(VICTIM),
        "after": len(after),
        "lost_after": sum(a.status != 200 for a in after),
        "answered_by_it_after": sum(a.headers.get("permafrost-replica") == VICTIM for a in after),
        "lost": [[round(a.began - moment, 2), a.status] for a in lost],
    }


class _Out:
    """When the edge has said that the victim is out."""

    def __init__(self, log: Path) -> None:
        self.seconds: float | None = None
        self._log = log
        self._seen = len(log.read_bytes())

    def watch(self, moment: float) -> None:
        def look() -> None:
            while time.time() < moment + 8 and self.seconds is None:
                new = self._log.read_bytes()[self._seen :]
                if f"chat_a/{VICTIM} is DOWN".encode() in new:
                    self.seconds = time.time() - moment
                time.sleep(0.02)

        threading.Thread(target=look, daemon=True).start()


def _fail(running: Served, kind: str) -> float:
    both = ("tritonserver", "triton_python_backend_stub")
    match kind:
        case "hang":
            return _signal(running, both, signal.SIGSTOP)
        case "kill":
            return _signal(running, both, signal.SIGKILL)
        case _:
            return _signal(running, both[1:], signal.SIGKILL)


def _signal(running: Served, names: tuple[str, ...], number: int) -> float:
    """Send a signal to the server's processes of these names; return when."""
    found = [pid for pid in _below(running.process.pid) if _name(pid) in names]
    assert found, f"no {names} runs"
    for pid in found:
        os.kill(pid, number)
    return time.time()


def _below(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    children = [int(child) for child in text.split()]
    return children + [lower for child in children for lower in _below(child)]


def _name(pid: int) -> str:
    program = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0]
    return Path(program.decode(errors="replace")).name
