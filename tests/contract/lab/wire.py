"""What the tests of faults watch: an echo service in a guest, clients, and a capture."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.faults import targets
from lab.hypervisor import guest
from lab.hypervisor.machine import Machine
from tests.contract.lab.bench import Bench, until

PORT = 7007
UNIT = "echo.service"
# A TCP server that gives back every line, one thread a connection.
SERVER = f"""import socketserver
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
Server(("0.0.0.0", {PORT}), Echo).serve_forever()
"""
# A client that sends a numbered line every 50 ms and prints what came of each.
CLIENT = """import socket, sys, time
host, port = sys.argv[1], int(sys.argv[2])
seconds, patience = float(sys.argv[3]), float(sys.argv[4])
end = time.time() + seconds
try:
    s = socket.create_connection((host, port), timeout=2)
    s.settimeout(patience)
    print("connected", flush=True)
    f = s.makefile("rwb")
    while True:
        begin = time.time()
        f.write(b"line\\n"); f.flush()
        if f.readline() != b"line\\n":
            print("closed", flush=True)
            break
        print(f"ok {(time.time() - begin) * 1000:.1f}", flush=True)
        if time.time() > end:
            break
        time.sleep(0.05)
except OSError as error:
    print(f"error {type(error).__name__} {error}", flush=True)
"""


def serve(bench: Bench, name: str) -> None:
    """Run the echo service in a guest."""
    files = {
        "/opt/echo.py": SERVER,
        f"/etc/systemd/system/{UNIT}": "[Service]\nExecStart=/usr/bin/python3 -u /opt/echo.py\n",
    }
    for path, text in files.items():
        targets.inside(bench.machine(name), "tee", path, stdin=text)
    bench.inside(name, "systemctl", "daemon-reload")
    bench.inside(name, "systemctl", "start", UNIT)
    until("the echo service answers", lambda: ask(bench, name, name, 0.01)[:1] == ["connected"])


def enter(node: Machine, *argv: str) -> list[str]:
    """Return a command that runs in a guest's network namespace."""
    return ["nsenter", "--target", str(guest.init_pid(node)), "--net", "--", *argv]


def ask(bench: Bench, client: str, server: str, seconds: float = 0.3) -> list[str]:
    """Let one machine talk with another's echo service; return what came of it."""
    argv = [sys.executable, "-c", CLIENT, bench.address(server), str(PORT), str(seconds), "1"]
    done = subprocess.run(
        enter(bench.machine(client), *argv), capture_output=True, text=True, timeout=60
    )
    return done.stdout.splitlines()


def reaches(bench: Bench, client: str, server: str) -> bool:
    """Whether one machine's echo service answers another."""
    return any(line.startswith("ok") for line in ask(bench, client, server, 0.01))


@dataclass
class Talk:
    """A conversation that goes on while something happens."""

    process: subprocess.Popen[str]
    lines: list[str]

    @property
    def answers(self) -> int:
        return sum(line.startswith("ok") for line in self.lines)


@contextmanager
def talking(bench: Bench, client: str, server: str, seconds: float = 30) -> Iterator[Talk]:
    """Keep an established connection busy."""
    argv = [
        sys.executable,
        "-u",
        "-c",
        CLIENT,
        bench.address(server),
        str(PORT),
        str(seconds),
        "60",
    ]
    process = subprocess.Popen(
        enter(bench.machine(client), *argv), stdout=subprocess.PIPE, text=True
    )
    talk = Talk(process, [])

    def collect() -> None:
        assert process.stdout
        for line in process.stdout:
            talk.lines.append(line.strip())

    reader = threading.Thread(target=collect, daemon=True)
    reader.start()
    try:
        until("the connection is busy", lambda: talk.answers > 2)
        yield talk
    finally:
        process.kill()
        process.wait(10)


@contextmanager
def captured(node: Machine, file: Path) -> Iterator[list[dict[str, Any]]]:
    """Capture at a guest's card; the list is filled when the block ends."""
    frames: list[dict[str, Any]] = []
    script = Path(__file__).with_name("capture.py")
    argv = enter(node, sys.executable, str(script), "host0", str(file))
    process = subprocess.Popen(argv)
    until("the capture runs", lambda: file.exists() and file.read_text())
    try:
        yield frames
    finally:
        time.sleep(0.2)  # what is on its way is written down too
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        frames += [
            json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")
        ]
