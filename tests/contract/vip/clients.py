"""Clients of the site's address: each on a connection of its own, kept, slow, streams."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.contract.vip.edges import PORT, VIP
from tests.contract.vip.machines import sh
from tests.contract.vip.nodes import TOKENS

RATE, KEPT = 15, 4
TIMEOUT_S = 20
SLOW_S = 4.5
"""What is between the first two packets that an edge hears from a slow client."""


@dataclass(frozen=True)
class Asked:
    """One request: when it began, how long it took, why it failed if it did."""

    kind: str
    began: float
    took_s: float
    error: str


@dataclass
class Load:
    """Clients that go on until the block ends, and are then waited for."""

    folder: Path
    asked: list[Asked] = field(default_factory=list)
    _ports: Iterator[int] = field(default_factory=lambda: iter(range(61000, 61100)))
    _ended: threading.Event = field(default_factory=threading.Event)
    _never: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        self._begin(self._come)
        for _ in range(KEPT):
            self._begin(self._stay)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def lost(self) -> list[Asked]:
        """Return what failed."""
        return [a for a in self.asked if a.error]

    def await_answers(self, count: int = 30) -> None:
        """Wait until as many requests that begin from now on were answered, of each kind."""
        now, end = time.time(), time.monotonic() + 60
        for kind in ("new", "kept"):
            while (
                sum(a.kind == kind and a.began > now and not a.error for a in self.asked) < count
            ):
                assert time.monotonic() < end, (
                    f"no new answers: {self.lost()[:2] + self.lost()[-2:]}"
                )
                time.sleep(0.05)

    def stream(self) -> threading.Thread:
        """Begin one stream; the thread ends with it."""
        begun = threading.Event()

        def go() -> None:
            connection = self._connection()
            self._record("stream", lambda: self._read_stream(connection, begun))
            connection.close()

        return self._begin_with(go, begun)

    def slow(self) -> threading.Thread:
        """Let one begin to connect, far away: the edge hears of it again after ``SLOW_S``.

        Then it goes on, and reads a stream. The thread ends with it.
        """
        begun = threading.Event()
        port = next(self._ports)

        def go() -> None:
            connection = self._connection()

            def ask() -> str:
                rule = _withhold(port)
                with socket.create_connection((VIP, PORT), TIMEOUT_S, ("", port)) as plain:
                    begun.set()
                    self._never.wait(SLOW_S)
                    sh("nft", "delete", "table", "ip", rule)
                    connection.sock = self._context.wrap_socket(plain, server_hostname=VIP)
                    return self._read_stream(connection, begun)

            self._record("slow", ask)
            connection.close()

        return self._begin_with(go, begun)

    @staticmethod
    def _read_stream(connection: http.client.HTTPSConnection, begun: threading.Event) -> str:
        connection.request("POST", "/v2/models/chat/generate_stream", b"{}")
        answer = connection.getresponse()
        first = answer.read(1)
        begun.set()
        return "" if len(first + answer.read()) == TOKENS else "cut"

    def _begin_with(self, go: Callable[[], None], begun: threading.Event) -> threading.Thread:
        thread = self._begin(go)
        assert begun.wait(TIMEOUT_S)
        return thread

    def _begin(self, what: Callable[[], None]) -> threading.Thread:
        self._threads.append(threading.Thread(target=what, daemon=True))
        self._threads[-1].start()
        return self._threads[-1]

    def _come(self) -> None:
        began, n = time.time(), 0
        while not self._ended.wait(max(0.0, began + n / RATE - time.time())):
            self._begin(self._once)
            n += 1

    def _once(self) -> None:
        connection = self._connection()
        self._record("new", lambda: self._ask(connection))
        connection.close()

    def _stay(self) -> None:
        connection = self._connection()
        while not self._ended.is_set():
            if not self._record("kept", lambda: self._ask(connection)):
                connection.close()

    def _connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(VIP, PORT, timeout=TIMEOUT_S, context=self._context)

    @staticmethod
    def _ask(connection: http.client.HTTPSConnection) -> str:
        connection.request("POST", "/v2/models/chat/generate", b"{}")
        answer = connection.getresponse()
        answer.read()
        return "" if answer.status == 200 else str(answer.status)

    def _record(self, kind: str, ask: Callable[[], str]) -> bool:
        """Ask, and note how it went; return whether well."""
        began = time.time()
        try:
            error = ask()
        except (http.client.HTTPException, OSError) as failed:
            error = repr(failed)
            self._ended.wait(0.1)
        self.asked.append(Asked(kind, began, time.time() - began, error))
        return not error


def _withhold(port: int) -> str:
    """Let no packet but the first of a connection from this port out; return the rule's table."""
    table = f"withheld_{port}"
    sh(
        "nft",
        "-f",
        "-",
        stdin=f"""table ip {table} {{
        chain output {{
            type filter hook output priority filter
            tcp sport {port} tcp flags & (syn | ack) == ack drop
        }}
    }}""",
    )
    return table
