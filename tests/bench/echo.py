"""The recorder against a bare echo server: HAProxy alone, which gives every body back."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from rich.table import Table

from lab.instance.waiting import wait_until
from lab.traffic.check import percentile
from lab.traffic.client import Target
from lab.traffic.record import Outcome, read
from lab.traffic.recorder import Load, run
from lab.traffic.workload import Ask

RATE = 1000.0
SECONDS = 5.0
TOKENS = tuple(range(16))
CONFIGURATION = """global
  nbthread 1
defaults
  mode http
  timeout client 10s
  timeout connect 1s
  timeout server 10s
frontend echo
  bind 127.0.0.1:{port}
  option http-buffer-request
  http-after-response set-header permafrost-checkpoint sha256:echo
  http-request return status 200 content-type application/json lf-string %[req.body]
"""


@dataclass(frozen=True, slots=True)
class Echoed:
    """Asks whose answer is the ask itself."""

    def ask(self, n: int) -> Ask:
        """Return the n-th ask."""
        return Ask({"text_input": f"echo {n}", "token_ids": list(TOKENS)}, TOKENS)


@contextmanager
def echo_server() -> Iterator[str]:
    """Run the echo server; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as file:
        file.write(CONFIGURATION.format(port=port))
        file.flush()
        server = subprocess.Popen(["haproxy", "-db", "-q", "-f", file.name])
        try:
            if not wait_until(lambda: _listens(port), 10):
                raise RuntimeError("the echo server does not listen")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()
            server.wait(10)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _bare(url: str, count: int) -> float:
    """Return the requests a second of the HTTP library alone, 16 at a time, nothing recorded."""
    body = json.dumps(Echoed().ask(0).body).encode()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def some() -> None:
            for _ in range(count // 16):
                async with session.post(f"{url}/v2/models/e/generate", data=body) as response:
                    await response.read()

        begin = time.monotonic()
        await asyncio.gather(*(some() for _ in range(16)))
        return count / (time.monotonic() - begin)


def echo_table() -> Table:
    """The open-loop recorder at a thousand requests a second; the library alone as baseline."""
    with echo_server() as url, tempfile.TemporaryDirectory() as folder:
        begin, used = time.monotonic(), _cpu_s()
        bare_per_s = asyncio.run(_bare(url, int(RATE * SECONDS)))
        bare_us = (_cpu_s() - used) / (RATE * SECONDS) * 1e6
        file = Path(folder) / "history.jsonl"
        begin, used = time.monotonic(), _cpu_s()
        sent = run(
            Load(RATE, SECONDS, 0, "echo"),
            Target(url, "e", "sha256:echo", 10),
            Echoed(),
            None,
            file,
        )
        took = time.monotonic() - begin
        cost_us = (_cpu_s() - used) / sent * 1e6
        records = list(read(file))
    if any(r.outcome is not Outcome.OK for r in records):
        raise RuntimeError("the echo server did not give back what it was sent")
    left_s = max(r.start for r in records) - min(r.start for r in records)
    late = [r.late_ms for r in records]
    table = Table(title="recorder against a bare echo server, a core shared with it (lab)")
    for heading in ("figure", "library alone", "recorder", "ratio"):
        table.add_column(heading, justify="right")
    rate = (len(records) - 1) / left_s
    table.add_row("requests/s (recorder: asked 1000)", f"{bare_per_s:.0f}", f"{rate:.0f}",
                  f"{rate / bare_per_s:.2f}")  # fmt: skip
    table.add_row(
        "CPU µs a request", f"{bare_us:.0f}", f"{cost_us:.0f}", f"{cost_us / bare_us:.2f}"
    )
    p50, p99 = percentile(late, 0.5), percentile(late, 0.99)
    table.add_row("left late, ms p50 / p99", "-", f"{p50:.1f} / {p99:.1f}", "-")
    table.add_row("took s", "-", f"{took:.1f}", "-")
    return table
