"""The whole serving path against a minimal hand-written haproxy.cfg and against Triton itself.

All three are asked from one replica's own network, so that the way there is the same: Triton in
plain HTTP on its loopback port; one HAProxy before it that only ends TLS, as a first draft would;
and the clients' address, that is edge and node HAProxy with all that ours do. The whole path
spreads over three replicas; all of it shares this computer's cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from lab.faults import targets
from lab.hypervisor import guest
from lab.hypervisor.machine import Machine
from lab.instance.model import default_root, load
from permafrost.adapters.ansible.variables import SLOT_PORTS
from permafrost.site.load import LoadedSite, load_site
from permafrost.topology import replicas, service_address
from tests.acceptance.driver import Cli, wait_until
from tests.bench.measure import Figures, in_turn

ROOT = Path(__file__).resolve().parents[2]
SECONDS, ROUNDS = 4, 3
MINIMAL_PORT = 9443
MINIMAL = """defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend clients
  bind {address}:{port} ssl crt /etc/haproxy/tls/server.pem alpn h2,http/1.1
  default_backend triton
backend triton
  server triton 127.0.0.1:{triton}
"""
FIGURES = (("requests/s", "rate_per_s"), ("p50 ms", "p50_ms"), ("p99 ms", "p99_ms"))


@dataclass(frozen=True, slots=True)
class Bench:
    """The site, and the replica in whose network is asked; Triton's port there."""

    loaded: LoadedSite
    machine: Machine
    triton_port: int

    def asked(self, url: str, checkpoint: str, clients: int, seconds: float) -> Figures:
        """Return what clients in the replica's network get from a URL."""
        init = guest.init_pid(self.machine)
        argv = ["nsenter", "--target", str(init), "--net", "--", sys.executable, "-m"]
        argv += ["tests.bench.inside", url, checkpoint or "-", str(clients), str(seconds)]
        done = subprocess.run(
            argv,
            cwd=ROOT,
            env={**os.environ, "PERMAFROST_SITE": str(self.loaded.path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{url}: {done.stderr[-2000:]}")
        return Figures(**json.loads(done.stdout))


@contextmanager
def minimal_haproxy(machine: Machine, address: str, triton_port: int) -> Iterator[str]:
    """Run the minimal configuration on a replica, by its own HAProxy program; yields its URL."""
    text = MINIMAL.format(address=address, port=MINIMAL_PORT, triton=triton_port)
    targets.inside(machine, "tee", "/run/minimal.cfg", stdin=text)
    unit = "minimal-haproxy"
    start = ("systemd-run", "--quiet", "--collect", f"--unit={unit}")
    targets.inside(machine, *start, "haproxy", "-W", "-q", "-f", "/run/minimal.cfg")
    try:
        yield f"https://{address}:{MINIMAL_PORT}"
    finally:
        targets.inside(machine, "systemctl", "stop", unit)
        targets.inside(machine, "rm", "-f", "/run/minimal.cfg")


def path_table(site: Path) -> Table:
    """Added latency and throughput on pulse, no delay, one client and sixteen."""
    loaded = load_site(site)
    replica = replicas(loaded.site, "pulse")[0]
    machine = Machine(load(default_root()), replica.name)
    bench = Bench(loaded, machine, SLOT_PORTS[_live_slot(site)][0])
    table = Table(title="pulse, no delay, asked from one replica's network (lab)")
    headings = ("clients", "figure", "Triton", "minimal", "whole path", "to Triton", "to minimal")
    for heading in headings:
        table.add_column(heading, justify="right")
    with minimal_haproxy(machine, str(replica.address), bench.triton_port) as minimal:
        wait_until("the minimal HAProxy answers", lambda: _answers(bench, minimal), 20, 0.5)
        for clients in (1, 16):
            _measure(table, bench, clients, minimal)
    return table


def _live_slot(site: Path) -> str:
    env = {**os.environ, "PERMAFROST_SITE": str(site)}
    endpoints = Cli(ROOT / ".venv/bin/permafrost", env).json("status")["endpoints"]
    return next(str(e["slot"]) for e in endpoints if e["name"] == "pulse")


def _answers(bench: Bench, url: str) -> bool:
    with suppress(RuntimeError):
        return bench.asked(url, "", 1, 0.5).rate_per_s > 0
    return False


def _measure(table: Table, bench: Bench, clients: int, minimal: str) -> None:
    site = bench.loaded.site
    wanted = site.inference["pulse"]
    direct = f"http://127.0.0.1:{bench.triton_port}"
    whole = f"https://{service_address(site)}:{wanted.port}"
    checkpoint = wanted.model.partition("@")[2]
    # In turn, so that a machine that drifts hits all of them.
    triton, path = in_turn(
        ROUNDS,
        lambda: bench.asked(direct, "", clients, SECONDS),
        lambda: bench.asked(whole, checkpoint, clients, SECONDS),
    )
    draft, again = in_turn(
        ROUNDS,
        lambda: bench.asked(minimal, "", clients, SECONDS),
        lambda: bench.asked(whole, checkpoint, clients, SECONDS),
    )
    for label, name in FIGURES:
        t, d, p, q = (getattr(f, name) for f in (triton, draft, path, again))
        table.add_row(
            str(clients), label, f"{t:.2f}", f"{d:.2f}", f"{p:.2f}", f"{p / t:.2f}", f"{q / d:.2f}"
        )


def memory_table() -> Table:
    """Memory of each machine and server of the lab, shared pages by their share."""
    command = ROOT / ".venv/bin/permafrost-lab"
    done = subprocess.run(
        [str(command), "usage", "--output", "json"], cwd=ROOT, capture_output=True, text=True,
        timeout=120, check=True,
    )  # fmt: skip
    usage = json.loads(done.stdout)
    table = Table(title="memory of each part (lab)")
    for heading in ("part", "processes", "MiB", "cores"):
        table.add_column(heading, justify="right")
    for part in usage["parts"]:
        row = (
            part["name"],
            str(part["processes"]),
            f"{part['pss_mib']:.0f}",
            f"{part['cpu']:.2f}",
        )
        table.add_row(*row)
    return table


if __name__ == "__main__":
    from rich.console import Console

    Console(width=120).print(path_table(Path(os.environ["PERMAFROST_SITE"])))
