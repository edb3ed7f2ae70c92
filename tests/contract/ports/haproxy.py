"""A real HAProxy in front of two small servers, and the shell that reaches its socket."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

from permafrost.adapters.ssh import CommandResult

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "templates/haproxy/permafrost-haproxy.py.j2"

CONFIG = """
global
    stats socket {folder}/admin.sock mode 600 level admin
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    timeout queue 5s
    option httpchk GET /ready
    default-server check inter 100ms fall 1 rise 1
frontend chat
    bind 127.0.0.1:{port}
    default_backend chat_a
backend chat_a
    balance roundrobin
"""


class Replica:
    """A server whose answers wait until they are let go."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_ready = True
        self.go = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/ready":
                    self.send_response(200 if outer.is_ready else 503)
                    body = b""
                else:
                    outer.go.wait(20)
                    self.send_response(200)
                    body = outer.name.encode()
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def close(self) -> None:
        self.go.set()
        self.server.shutdown()
        self.server.server_close()


class LocalShell:
    """Runs the edges' own script here, at the socket of the HAProxy under test."""

    def __init__(self, folder: Path) -> None:
        text = SCRIPT.read_text(encoding="utf-8").replace("# {{ ansible_managed }}\n", "")
        self.script = folder / "permafrost-haproxy"
        self.script.write_text(
            text.replace("/run/haproxy/admin.sock", str(folder / "admin.sock")), encoding="utf-8"
        )

    def run(
        self, node: str, argv: Sequence[str], *, stdin: str = "", deadline_s: float = 30
    ) -> CommandResult:
        assert list(argv) == ["sudo", "-n", "/usr/local/sbin/permafrost-haproxy"]
        done = subprocess.run(
            [sys.executable, str(self.script)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=deadline_s,
            check=False,
        )
        return CommandResult(done.returncode, done.stdout, done.stderr)


class Edge:
    """The balancer, its replicas, and clients that wait."""

    def __init__(self, folder: Path, replicas: dict[str, Replica], port: int) -> None:
        self.folder = folder
        self.replicas = replicas
        self.port = port
        self._clients: list[threading.Thread] = []

    def ask(self) -> None:
        """Begin one request; it stays in flight until its replica lets go."""
        url = f"http://127.0.0.1:{self.port}/v2"
        client = threading.Thread(target=lambda: urlopen(url, timeout=20).read(), daemon=True)
        client.start()
        self._clients.append(client)

    def let_go(self) -> None:
        """Let every request end."""
        for replica in self.replicas.values():
            replica.go.set()
        for client in self._clients:
            client.join(20)


@contextmanager
def running_edge(folder: Path, names: Sequence[str]) -> Iterator[Edge]:
    """Run HAProxy over replicas of these names."""
    replicas = {name: Replica(name) for name in names}
    port = _free_port()
    config = CONFIG.format(folder=folder, port=port)
    for replica in replicas.values():
        config += f"    server {replica.name} 127.0.0.1:{replica.port}\n"
    (folder / "haproxy.cfg").write_text(config, encoding="utf-8")
    process = subprocess.Popen(
        ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")], stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 10
        while not (folder / "admin.sock").exists():
            assert process.poll() is None, "HAProxy did not start"
            assert time.monotonic() < end
            time.sleep(0.02)
        yield Edge(folder, replicas, port)
    finally:
        process.terminate()
        process.wait(10)
        for replica in replicas.values():
            replica.close()


def _free_port() -> int:
    probe = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    port = int(probe.server_address[1])
    probe.server_close()
    return port
