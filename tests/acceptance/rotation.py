"""Who is in rotation at each edge, written down several times a second while a scenario runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.acceptance.driver import wait_until

EDGES = ("lab-edge-01", "lab-edge-02")
UNIT = "rotation-watch"
FILE = "/run/rotation-watch.jsonl"
# Reads HAProxy's runtime socket; a worker that is being replaced is asked again.
WATCH = """
import json, socket, sys, time
while True:
    try:
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(1)
            asked.connect("/run/haproxy/admin.sock")
            asked.sendall(b"show stat\\n")
            text = b"".join(iter(lambda: asked.recv(65536), b"")).decode()
        at = time.time()
        head, *rows = [line.split(",") for line in text.splitlines() if line]
        status = head.index("status")
        seen = {}
        for r in rows:
            mine = r[0] in sys.argv[1:] and r[1].startswith("lab-")
            if mine and not seen.get(r[1], "").startswith("UP"):
                seen[r[1]] = r[status]
        print(json.dumps([at, seen]), flush=True)
    except (OSError, ValueError):
        pass
    time.sleep(0.05)
"""


@dataclass
class Rotation:
    """What every edge said, sample by sample: time (s since the epoch), server, its status."""

    samples: dict[str, list[tuple[float, dict[str, str]]]] = field(default_factory=dict)

    def out_since(self, server: str, moment: float) -> dict[str, float | None]:
        """Return of each edge when a server left its rotation first at or after a moment."""
        return {
            edge: next(
                (at for at, seen in found if at >= moment and not is_up(seen.get(server, ""))),
                None,
            )
            for edge, found in self.samples.items()
        }

    def fewest_up(self, begin: float, end: float, of: str = "") -> dict[str, int]:
        """Return of each edge the smallest number of servers that were up within a time.

        ``of``: what their names begin with; each without it.
        """
        return {
            edge: min(
                sum(is_up(status) for server, status in seen.items() if server.startswith(of))
                for at, seen in found
                if begin <= at <= end
            )
            for edge, found in self.samples.items()
        }


def is_up(status: str) -> bool:
    """Whether a server that HAProxy says this of gets requests."""
    return status.startswith("UP")


@contextmanager
def watched(on: Callable[[str], Any], *backends: str) -> Iterator[Rotation]:
    """Watch backends of every edge; the samples are there when the block has ended.

    A server that is up in one of them is up.
    """
    found = Rotation()
    edges = {name: on(name) for name in EDGES}
    try:
        for machine in edges.values():
            machine.check_output(
                "rm -f %s; systemd-run --quiet --collect --unit=%s --property=%s python3 -c %s"
                + " %s" * len(backends),
                FILE,
                UNIT,
                f"StandardOutput=append:{FILE}",
                WATCH,
                *backends,
            )
        for machine in edges.values():
            wait_until(
                "it is watched",
                lambda machine=machine: machine.file(FILE).exists and machine.file(FILE).size,
                20,
            )
        yield found
    finally:
        for name, machine in edges.items():
            machine.run("systemctl stop %s", UNIT)
            lines = machine.run("cat %s", FILE).stdout.splitlines()
            found.samples[name] = [(at, seen) for at, seen in map(json.loads, lines)]


def seconds_out(
    rotation: Rotation, server: str, since: float, edges: Sequence[str] = EDGES
) -> float:
    """Return how long after a moment a server was out at the last edge; fails where it was not."""
    out = rotation.out_since(server, since)
    missing = [edge for edge in edges if out[edge] is None]
    assert not missing, f"{server} never left the rotation of {missing}"
    return max(float(out[edge] or 0) - since for edge in edges)
