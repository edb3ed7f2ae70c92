"""Replicas behind the edges: TLS, health, answers after a while, streams; until ended."""

from __future__ import annotations

import http.server
import ssl
import sys
import threading
import time
from pathlib import Path

PORT = 8443
ANSWER_S = 0.3
TOKENS, EVERY_S = 100, 0.1


class Node(http.server.BaseHTTPRequestHandler):
    """Answers after ``ANSWER_S``; ``/stream`` gives a token every ``EVERY_S``."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if "stream" in self.path:
            self._stream()
        else:
            time.sleep(ANSWER_S)
            self._answer()

    def _answer(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for _ in range(TOKENS):
            self.wfile.write(b"1\r\nt\r\n")
            self.wfile.flush()
            time.sleep(EVERY_S)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def __init__(self, address: str, context: ssl.SSLContext) -> None:
        super().__init__((address, PORT), Node)
        self._context = context

    def finish_request(self, request: object, client_address: object) -> None:
        """Greet by TLS in the connection's own thread: a slow client holds up nobody else."""
        assert not isinstance(request, tuple)
        wrapped = self._context.wrap_socket(request, server_side=True)  # type: ignore[arg-type]
        super().finish_request(wrapped, client_address)

    def handle_error(self, *_: object) -> None:
        """Edges that stop cut what they have: nothing to tell."""


def main(pem: Path, *addresses: str) -> None:
    """Serve at every address."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    for address in addresses:
        threading.Thread(target=_Server(address, context).serve_forever, daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
