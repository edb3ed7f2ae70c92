"""A wire to a server that can be cut: after so many bytes one way, or for good."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_READ = 1 << 16


class Wire:
    """Forwards TCP to a server; ``down`` is to the client, ``up`` to the server."""

    def __init__(self, target: str) -> None:
        host, port = target.split(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._left: dict[str, int | None] = {"up": None, "down": None}
        self._is_cut = False
        self.passed = {"up": 0, "down": 0}
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, *, up: int | None = None, down: int | None = None) -> None:
        """Cut all that is open, and let nobody in again, once so many bytes more have passed."""
        with self._lock:
            self._left = {"up": up, "down": down}

    def mend(self) -> None:
        """Let everybody in again; count from zero."""
        with self._lock:
            self._left = {"up": None, "down": None}
            self.passed = {"up": 0, "down": 0}
            self._is_cut = False

    def close(self) -> None:
        """End it."""
        self._listener.close()
        with self._lock:
            self._is_cut = True
            ends = list(self._open)
        for end in ends:
            _end(end)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                is_cut = self._is_cut
            if is_cut:
                client.close()
                continue
            server = socket.create_connection(self._target)
            with self._lock:
                self._open |= {client, server}
            for way, source, sink in (("up", client, server), ("down", server, client)):
                threading.Thread(
                    target=self._forward, args=(way, source, sink), daemon=True
                ).start()

    def _forward(self, way: str, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while content := source.recv(_READ):
                if not self._may_pass(way, len(content)):
                    break
                sink.sendall(content)
        _end(source)
        _end(sink)

    def _may_pass(self, way: str, size: int) -> bool:
        with self._lock:
            left = self._left[way]
            if left is not None:
                self._left[way] = left - size
                if left < size:
                    self._is_cut = True
            ends = list(self._open) if self._is_cut else []
            if not self._is_cut:
                self.passed[way] += size
        for end in ends:
            _end(end)
        return not ends


@contextmanager
def wire(target: str) -> Iterator[Wire]:
    """Run a wire to a server while the block runs."""
    made = Wire(target)
    try:
        yield made
    finally:
        made.close()


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
