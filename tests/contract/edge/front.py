"""The edges' and nodes' own configurations, run by a real HAProxy in a network of their own.

What is rendered for the golden site is moved to loopback addresses: one edge, three nodes of
``chat``, and behind each of them a server that waits and answers. Addresses and ports are fixed,
so this runs in a fresh network namespace (``unshare --net``).
"""

from __future__ import annotations

import http.server
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import IPv4Address
from pathlib import Path

from permafrost.pki import SitePki
from permafrost.pki.certificates import Issued
from permafrost.pki.owners import EdgeTrust
from tests.golden.ansible.rendering import render

NODES = {f"oslo-chat-0{i}": (f"10.20.0.{21 + i}", f"127.0.0.{10 + i}") for i in (1, 2, 3)}
OWN, VIP, PORT = "127.0.0.1", "127.0.0.2", 18443
ANSWER_S = 0.2
# What only a later HAProxy than the one on the build machine knows, and what asks for more rights.
NOT_HERE = ("chroot", "user ", "group ", "log /dev", "tune.h2.", "stats socket")


class Behind(http.server.BaseHTTPRequestHandler):
    """Triton and permafrost-node: every call is answered, a generation after a while."""

    protocol_version = "HTTP/1.1"

    sick = ""
    """The slot whose health is not well."""
    answer_s = ANSWER_S
    late_s = 0.0
    """How long a health answer takes from the moment on at which ``is_late`` is set."""
    is_late = threading.Event()

    def do_GET(self) -> None:
        if "health" in self.path and self.is_late.is_set():
            time.sleep(self.late_s)
        is_sick = "health" in self.path and self.headers.get("permafrost-slot") == self.sick
        self._answer(0, 503 if is_sick else 200)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer(self.answer_s)

    def _answer(self, after_s: float, status: int = 200) -> None:
        time.sleep(after_s)
        # What a server behind the edge was told by way of headers, for the client to see.
        seen = ",".join(sorted(name.lower() for name in self.headers))
        self.send_response(status)
        self.send_header("seen", seen)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Checks end by a reset: nothing to tell."""


@dataclass(frozen=True)
class Asked:
    """One request: when it began, how long it took, what came back."""

    began: float
    took_s: float
    status: int
    headers: dict[str, str]
    body: str


@dataclass
class Front:
    """Edge and nodes; ``changed`` alters the edge's configuration, for controls."""

    folder: Path
    changed: Callable[[str], str] | None = None
    clients: dict[str, str] = field(default_factory=dict)
    brought: Issued | None = None
    """The authority of the site's owner, with its chain."""
    certificate: str = ""
    """The edge's own, with its key; else the site's authority signs one."""
    trust: EdgeTrust | None = None
    """How the edge is known where it has a certificate of its own."""
    beside: str = ""
    """The checkpoint in slot b, and lines of the map about it."""
    told: str = ""
    sick: str = ""
    behind: tuple[int, ...] = (8000, 8010, 9100)
    """Slot a's Triton, slot b's, permafrost-node: what is left out is real, and started before."""
    instead: dict[str, dict[int, int]] = field(default_factory=dict)
    """Of a node, where something else listens than for the others."""
    is_answered: bool = True
    """Whether every node is to answer before anything begins."""
    answer_s: float = ANSWER_S
    late_s: float = 0.0
    """Health answers take so long after ``delay``."""
    is_late: threading.Event = field(default_factory=threading.Event)
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _behind: type[Behind] = Behind

    def __enter__(self) -> Front:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        told = ("sick", "answer_s", "late_s", "is_late")
        behind = type("Behind", (Behind,), {name: getattr(self, name) for name in told})
        self._behind = behind
        for port in self.behind:
            server = _Server((OWN, port), behind)
            threading.Thread(target=server.serve_forever, daemon=True).start()
        self._certificates()
        lines = "".join(f"{digest} {value}\n" for digest, value in self.clients.items())
        (self.folder / "clients.map").write_text(lines, encoding="ascii")
        pinned = "sha256:" + "1" * 64
        slots = f"chat a\nchat@{pinned} a\npulse a\na {pinned}\n"  # edge and nodes share a folder
        if self.beside:
            slots += f"b {self.beside}\nchat@{self.beside} b\n{self.told}"
        (self.folder / "slots.map").write_text(slots, encoding="ascii")
        for name in NODES:
            text = self._moved(render("haproxy/node.cfg.j2", name))
            for port, instead in self.instead.get(name, {}).items():
                text = text.replace(f"127.0.0.1:{port}\n", f"127.0.0.1:{instead}\n")
            self._run(name, text)
        edge = self._moved(render("haproxy/edge.cfg.j2", "oslo-edge-01"))
        edge = edge.replace("/server.pem", "/edge.pem")  # edge and nodes share a folder
        runtime = f"global\n    stats socket {self.folder}/runtime.sock mode 600 level admin\n"
        edge = edge.replace("global\n", runtime, 1)
        self._run("edge", self.changed(edge) if self.changed else edge)
        if self.is_answered:
            self._await_all()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait(10)

    def ask(
        self, address: str = OWN, data: bytes = b"{}", timeout_s: float = 40, **headers: str
    ) -> Asked:
        """Ask as a client does; underscores in header names stand for hyphens."""
        context = ssl.create_default_context(cafile=str(self.folder / "pki/ca.pem"))
        if self.trust is not None:
            context = self.trust.context()
            context.check_hostname = False  # the test's own client calls an address
        url = f"https://{address}:{PORT}/v2/models/chat/generate"
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        request = urllib.request.Request(url, data=data, headers=named)
        began = time.time()
        try:
            with urllib.request.urlopen(request, context=context, timeout=timeout_s) as answer:
                status, told, body = answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, told, body = error.code, error.headers, error.read().decode()
        except OSError as error:
            return Asked(began, time.time() - began, 0, {}, repr(error))
        lower = {name.lower(): value for name, value in told.items()}
        return Asked(began, time.time() - began, status, lower, body)

    def lose(self, node: str) -> None:
        """Drop every packet to and from a node where it arrives: nobody is told."""
        address = NODES[node][1]
        rules = f"ip daddr {address} drop\nip saddr {address} drop\n"
        text = (
            "table ip lost {\nchain input {\ntype filter hook input priority 0; policy accept;\n"
            f"{rules}}}\n}}\n"
        )
        subprocess.run(["nft", "-f", "-"], input=text.encode(), check=True)

    def tell(self, command: str) -> str:
        """Say something to the edge's current worker; return what it answers."""
        with socket.socket(socket.AF_UNIX) as runtime:
            runtime.settimeout(10)
            runtime.connect(str(self.folder / "runtime.sock"))
            runtime.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: runtime.recv(65536), b"")).decode()

    def signal_nodes(self, number: int) -> None:
        """Send a signal to what serves on every node."""
        for process in self._running[:-1]:
            for worker in self._workers_of(process.pid):
                os.kill(int(worker), number)

    def reload(self) -> None:
        """Reload the edge as systemd does, and wait until another worker alone listens."""
        before = self._workers_of(self._running[-1].pid)
        self._running[-1].send_signal(signal.SIGUSR2)
        end = time.monotonic() + 20
        while not self._workers_of(self._running[-1].pid) - before:
            assert time.monotonic() < end, "no other worker"
            time.sleep(0.05)
        while before & self._listening():
            assert time.monotonic() < end, "the old worker goes on"
            time.sleep(0.05)

    def sicken(self, slot: str) -> None:
        """Let a slot be unwell everywhere, and wait until the edge sends nobody there."""
        self._behind.sick = slot
        end = time.monotonic() + 20
        while self.ask().status == HTTPStatus.OK:
            assert time.monotonic() < end, "it is still asked"

    def start_anew(self) -> None:
        """End the edge at once and start it again: what a reload is not."""
        edge = self._running.pop()
        for worker in self._workers_of(edge.pid):
            os.kill(int(worker), signal.SIGKILL)
        edge.kill()
        edge.wait(10)
        self._start("edge")

    def renew_certificate(self) -> None:
        """Put another certificate, with another key, where the next worker reads it."""
        other = self._issue("edge-renewed")
        (self.folder / "edge.pem").write_text(other, encoding="ascii")

    def workers(self) -> set[str]:
        """Return the pids that serve, of edge and nodes."""
        return set().union(*(self._workers_of(process.pid) for process in self._running))

    @staticmethod
    def _workers_of(pid: int) -> set[str]:
        return set(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split())

    @staticmethod
    def _listening() -> set[str]:
        shown = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True)
        return set(re.findall(r"pid=(\d+)", shown.stdout))

    def _issue(self, name: str) -> str:
        issued = self._pki().server_certificate(
            name, names=NODES, addresses=[IPv4Address(OWN), IPv4Address(VIP)]
        )
        return issued.certificate_pem + issued.key_pem

    def _pki(self) -> SitePki:
        return SitePki(self.folder, "oslo", self.brought)

    def _certificates(self) -> None:
        text = self._issue("edge")
        (self.folder / "server.pem").write_text(text, encoding="ascii")
        (self.folder / "ca.pem").write_text(self._pki().ca_pem(), encoding="ascii")
        (self.folder / "edge.pem").write_text(self.certificate or text, encoding="ascii")

    def _moved(self, text: str) -> str:
        text = text.replace("/etc/haproxy/tls/", f"{self.folder}/")
        text = text.replace("/etc/haproxy/", f"{self.folder}/")
        text = text.replace("/var/lib/haproxy/server-state", f"{self.folder}/server-state")
        text = text.replace("10.20.0.20:", f"{OWN}:1").replace("10.20.0.10:", f"{VIP}:1")
        for address, here in NODES.values():
            text = text.replace(f"{address}:8443", f"{here}:8443")
        text = re.sub(r"10\.20\.0\.\d+:8443", "127.0.0.99:8443", text)  # the other endpoint's
        kept = (line for line in text.splitlines() if not line.strip().startswith(NOT_HERE))
        return "\n".join(kept) + "\n"

    def _run(self, name: str, text: str) -> None:
        (self.folder / f"{name}.cfg").write_text(text, encoding="utf-8")
        self._start(name)

    def _start(self, name: str) -> None:
        path = self.folder / f"{name}.cfg"
        log = (self.folder / f"{name}.log").open("ab")
        command = ["haproxy", "-W", "-db", "-f", str(path)]
        if name == "edge":
            command += ["-S", str(self.folder / "master.sock")]
        self._running.append(subprocess.Popen(command, stderr=log))

    def _await_all(self) -> None:
        """Wait until every node has answered a client."""
        missing, end = set(NODES), time.monotonic() + 40
        while missing:
            assert time.monotonic() < end, f"no answer from {missing}"
            missing.discard(self.ask().headers.get("permafrost-replica", ""))
