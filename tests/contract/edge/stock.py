"""The bench's stock haproxy.cfg before our nodes: it serves, and its restart cuts what is open."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.bench.stock_config import servers_up, stock_config
from tests.contract.edge.front import NODES, NOT_HERE, PORT, Asked, Front

OUT = "oslo-chat-02"
ANSWER_S = 0.8
ASKED = 6


def stock(folder: Path) -> dict[str, Any]:
    """Serve, restart under an open request, take a server out by its line and ask again."""
    with Front(folder, changed=lambda _: _text(folder), answer_s=ANSWER_S) as front:
        before = sorted(servers_up(front.tell("show stat")))
        asked: list[Asked] = []
        open_one = threading.Thread(target=lambda: asked.append(front.ask()))
        open_one.start()
        _await(lambda: _under_way(front), "a request is under way")
        (folder / "edge.cfg").write_text(_text(folder, (OUT,)), encoding="utf-8")
        front.start_anew()
        open_one.join(20)
        _await(lambda: front.ask().status == 200, "it answers again")
        with ThreadPoolExecutor(ASKED) as pool:
            answers = list(pool.map(lambda _: front.ask(), range(ASKED)))
        return {
            "up": before,
            "open": [a.status for a in asked],
            "up_after": sorted(servers_up(front.tell("show stat"))),
            "answered_by": sorted({a.headers.get("permafrost-replica", "") for a in answers}),
        }


def _text(folder: Path, out: Collection[str] = ()) -> str:
    servers = {name: here for name, (_, here) in NODES.items()}
    text = stock_config(PORT, servers, out, tls=str(folder))
    kept = (line for line in text.splitlines() if not line.strip().startswith(NOT_HERE))
    socket = f"global\n    stats socket {folder}/runtime.sock mode 600 level admin\n"
    return ("\n".join(kept) + "\n").replace("global\n", socket, 1)


def _under_way(front: Front) -> bool:
    return "srv=oslo-" in front.tell("show sess")


def _await(seen: Callable[[], bool], what: str, within_s: float = 20) -> None:
    end = time.monotonic() + within_s
    while not seen():
        assert time.monotonic() < end, what
        time.sleep(0.05)
