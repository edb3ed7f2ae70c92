"""Something that stands before a registry and answers some paths itself: with a page, say."""

from __future__ import annotations

import http.client
import http.server
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.contract.registry.server import Server

PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Welcome</body></html>\n"
Answer = tuple[int, dict[str, str], bytes]
_HOP = ("connection", "transfer-encoding", "content-length", "server", "date")


@dataclass
class Front:
    """``answers`` maps a path to what is answered instead of the registry; None: pass it on."""

    server: Server
    answers: Callable[[str], Answer | None] = lambda _: None
    address: str = ""
    asked: list[str] = field(default_factory=list)


def page(*parts: str) -> Callable[[str], Answer | None]:
    """Answer a page of HTML with status 200 to every path that holds one of these."""

    def answers(path: str) -> Answer | None:
        told = {"Content-Type": "text/html; charset=utf-8"}
        return (200, told, PAGE) if any(part in path for part in parts) else None

    return answers


@contextmanager
def front(server: Server) -> Iterator[Front]:
    """Stand before a registry for a block, with its own certificate."""
    made = Front(server)
    handler = type("Handler", (_Handler,), {"front": made})
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.ca_file, server.ca_file.with_suffix(".key"))
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    made.address = f"127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield made
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    front: Front

    def do_GET(self) -> None:
        self.front.asked.append(self.path)
        self._answer(*(self.front.answers(self.path) or self._passed_on()))

    def do_HEAD(self) -> None:
        self.do_GET()

    def _passed_on(self) -> Answer:
        server = self.front.server
        context = ssl.create_default_context(cafile=str(server.ca_file))
        connection = http.client.HTTPSConnection(server.address, timeout=30, context=context)
        sent = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        connection.request(self.command, self.path, headers=sent)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        told = {n: v for n, v in response.getheaders() if n.lower() not in _HOP}
        return response.status, told, content

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return
