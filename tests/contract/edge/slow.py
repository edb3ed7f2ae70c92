"""Clients that never finish their request, against our edge and one that does not wait for it."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from tests.contract.edge.front import OWN, PORT, Front
from tests.contract.edge.otherwise import without_lines

CLIENTS, LASTS_S = 60, 12.0
"""More than the three replicas take at once (48), for longer than a body may take."""
HEAD = b"POST /v2/models/chat/generate HTTP/1.1\r\nhost: chat\r\ncontent-length: 5000\r\n\r\n"


def slow(folder: Path, *, limited: bool) -> dict[str, Any]:
    """Let many requests drip in, ask as others do meanwhile; say what both got."""
    changed = None if limited else partial(without_lines, "wait-for-body")
    with Front(folder, changed=changed) as front, ExitStack() as open_:
        context = ssl.create_default_context(cafile=str(folder / "pki/ca.pem"))
        until = time.monotonic() + LASTS_S
        said: list[str] = []

        def drip() -> None:
            with suppress(OSError):
                plain = socket.create_connection((OWN, PORT), timeout=15)
                client = open_.enter_context(context.wrap_socket(plain, server_hostname=OWN))
                client.sendall(HEAD)
                client.settimeout(0.5)
                while time.monotonic() < until:
                    with suppress(TimeoutError):
                        said.append(client.recv(200).decode().partition("\r\n")[0])
                        return
                    client.sendall(b" ")

        threads = [threading.Thread(target=drip) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        time.sleep(2)  # for so long they have been at it when others come
        asked = [front.ask(timeout_s=4) for _ in range(5)]
        for thread in threads:
            thread.join()
    return {
        "statuses": [a.status for a in asked],
        "slowest_s": max(a.took_s for a in asked),
        "said": sorted(set(said)),
        "turned_away": len(said),
    }
