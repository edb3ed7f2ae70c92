"""A real HAProxy in front of small servers, with its master, and the shell that reaches it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

from permafrost.adapters.ssh import CommandResult

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "templates/haproxy/permafrost-haproxy.py.j2"

CONFIG = """
global
    stats socket {folder}/admin.sock mode 600 level admin expose-fd listeners
    hard-stop-after 60s
defaults
    mode http
    timeout connect 1s
    timeout client 900s
    timeout server 900s
    timeout queue 5s
    timeout check 5s
    option httpchk GET /ready
    default-server check inter 500ms downinter 100ms fall 1 rise 1 slowstart 60s
frontend chat
    bind 127.0.0.1:{port}
    http-request set-var(txn.client) http_auth_bearer,sha2(256),hex,map_str({folder}/clients.map,-)
    acl is_who path /who
    http-request return status 200 content-type text/plain lf-string %[var(txn.client)] if is_who
    http-request set-var(txn.slot) str(chat),map_str({folder}/slots.map,none)
    acl is_slot path /slot
    http-request return status 200 content-type text/plain lf-string %[var(txn.slot)] if is_slot
    use_backend chat_%[var(txn.slot)]
"""


class _Server(ThreadingHTTPServer):
    """Checks end by a reset, and a restart cuts clients: neither is told."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass


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

            def do_POST(self) -> None:
                outer.go.wait(20)  # the rest of the request may never come

            def log_message(self, *_: object) -> None:
                pass

        self.server = _Server(("127.0.0.1", 0), Handler)
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

    def __init__(self, folder: Path, runtime: str = "admin.sock") -> None:
        text = SCRIPT.read_text(encoding="utf-8").replace("# {{ ansible_managed }}\n", "")
        self.script = folder / "permafrost-haproxy"
        for path, name in (
            ("/run/haproxy/admin.sock", runtime),
            ("/run/haproxy-master.sock", "master.sock"),
            ("/var/lib/haproxy/server-state", "server-state"),
            ("/etc/haproxy/declared.cfg", "declared.cfg"),
            ("/etc/haproxy/clients.map", "clients.map"),
            ("/etc/haproxy/slots.map", "slots.map"),
        ):
            assert path in text
            text = text.replace(path, str(folder / name))
        self.script.write_text(text, encoding="utf-8")

    def run(
        self, node: str, argv: Sequence[str], *, stdin: str = "", deadline_s: float = 30
    ) -> CommandResult:
        assert list(argv[:3]) == ["sudo", "-n", "/usr/local/sbin/permafrost-haproxy"]
        done = subprocess.run(
            [sys.executable, str(self.script), *argv[3:]],
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
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start HAProxy and wait until it serves."""
        files = [a for name in ("declared.cfg", "haproxy.cfg") for a in ("-f", self.folder / name)]
        self._process = subprocess.Popen(
            ["haproxy", "-W", "-db", "-S", self.folder / "master.sock", *files],
            stderr=subprocess.DEVNULL,
        )
        self._await(self.serves, "HAProxy did not start")

    def stop(self) -> None:
        """Stop HAProxy at once: what is in flight is lost, as with a restart of the service."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)

    def reload(self) -> None:
        """Reload: a new worker comes, the old one finishes what it has."""
        assert self._process is not None
        before = self.current_worker()
        self._process.send_signal(signal.SIGUSR2)
        self._await(lambda: self.current_worker() not in ("", before), "no new worker")
        self._await(self.serves, "the new worker does not serve")

    def current_worker(self) -> str:
        """Return the current worker's pid; empty while the master restarts itself."""
        try:
            with socket.socket(socket.AF_UNIX) as master:
                master.settimeout(5)
                master.connect(str(self.folder / "master.sock"))
                master.sendall(b"show proc\n")
                master.shutdown(socket.SHUT_WR)
                text = b"".join(iter(lambda: master.recv(65536), b"")).decode()
        except OSError:
            return ""
        current = text.partition("# old workers")[0].splitlines()
        return next((line.split()[0] for line in current if " worker " in line), "")

    def serves(self) -> bool:
        """Whether a client is let in."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return bool(self.current_worker())
        except OSError:
            return False

    def slot(self) -> str:
        """Return the slot to which a new request is sent."""
        with urlopen(f"http://127.0.0.1:{self.port}/slot", timeout=5) as answer:
            return str(answer.read().decode())

    def who(self, key: str) -> str:
        """Return the name of the client with this key, as HAProxy knows it."""
        url = f"http://127.0.0.1:{self.port}/who"
        asked = Request(url, headers={"Authorization": f"Bearer {key}"})
        with urlopen(asked, timeout=5) as answer:
            return str(answer.read().decode())

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert self._process is not None
            assert self._process.poll() is None, what
            assert time.monotonic() < end, what
            time.sleep(0.02)

    def ask(self) -> None:
        """Begin one request; it stays in flight until its replica lets go."""
        url = f"http://127.0.0.1:{self.port}/v2"

        def wait() -> None:
            with suppress(OSError), urlopen(url, timeout=20) as answer:
                answer.read()

        client = threading.Thread(target=wait, daemon=True)
        client.start()
        self._clients.append(client)

    def let_go(self) -> None:
        """Let every request end."""
        for replica in self.replicas.values():
            replica.go.set()
        for client in self._clients:
            client.join(20)


@contextmanager
def running_edge(folder: Path, names: Sequence[str], slots: str = "a") -> Iterator[Edge]:
    """Run HAProxy over replicas of these names, in these slots; the first of them answers."""
    replicas = {name: Replica(name) for name in names}
    port = free_port()
    config = CONFIG.format(folder=folder, port=port)
    for slot in slots:
        config += f"backend chat_{slot}\n    balance roundrobin\n"
        for replica in replicas.values():
            line = f"    server {replica.name} 127.0.0.1:{replica.port}"
            away = f"PERMAFROST_AWAY_{replica.name.replace('-', '_')}"
            config += f".if defined({away})\n{line} disabled\n.else\n{line}\n.endif\n"
    (folder / "haproxy.cfg").write_text(config, encoding="utf-8")
    (folder / "declared.cfg").touch()
    (folder / "clients.map").touch()
    (folder / "slots.map").write_text(f"chat {slots[0]}\n", encoding="ascii")
    edge = Edge(folder, replicas, port)
    edge.start()
    try:
        yield edge
    finally:
        edge.stop()
        for replica in replicas.values():
            replica.close()


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    probe = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    port = int(probe.server_address[1])
    probe.server_close()
    return port
