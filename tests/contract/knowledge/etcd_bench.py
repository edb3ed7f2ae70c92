"""A real etcd of three on the loopback: the lab's image, its processes started and killed."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from permafrost.pki.store import SitePki
from tests.contract.knowledge.images import program_of

NAMES = ("bergen-knowledge-01", "bergen-knowledge-02", "bergen-knowledge-03")
STARTED_S = 30.0


def etcd_program(folder: Path) -> Path:
    """Take the server out of the lab's image."""
    return program_of("image-etcd", "usr/bin/etcd", folder / "etcd")


@dataclass
class Etcd:
    """Three members; each has its data in a folder of its own."""

    program: Path
    folder: Path
    ports: dict[str, tuple[int, int]] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    encrypts: bool = False
    pairs: dict[tuple[str, SitePki | None, bool], Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2 * len(NAMES))]
        found = [s.getsockname()[1] for s in held]
        for listener in held:
            listener.close()
        self.ports = {n: (found[2 * i], found[2 * i + 1]) for i, n in enumerate(NAMES)}

    @property
    def pki(self) -> SitePki:
        return SitePki(self.folder / "site", "bergen")

    def url(self, name: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.ports[name][0]}"

    def peer(self, name: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.ports[name][1]}"

    @property
    def scheme(self) -> str:
        return "https" if self.encrypts else "http"

    def settings(self, **more: object) -> dict[str, Any]:
        """Return what permafrost-knowledge is told of it."""
        found: dict[str, Any] = {"etcd": [self.url(n) for n in NAMES], "root": "bergen", **more}
        if self.encrypts:
            found["tls"] = {"ca": str(self.pki.ca_path), "own": str(self.pair(NAMES[0]))}
        return found

    def pair(self, name: str, pki: SitePki | None = None, *, is_client: bool = True) -> Path:
        """Write a member's certificate with its key into one file, as a member has it."""
        key = (name, pki, is_client)
        if key not in self.pairs:
            issued = (pki or self.pki).server_certificate(
                name, addresses=[IPv4Address("127.0.0.1")], is_client=is_client
            )
            # Once: a server that starts reads it while clients ask for it.
            self.pairs[key] = self.folder / f"{name}-{len(self.pairs)}.pem"
            self.pairs[key].write_text(issued.certificate_pem + issued.key_pem)
        return self.pairs[key]

    def _tls(self, name: str) -> list[str]:
        """Return the settings of etcd.yml's two sections of transport security, as options."""
        if not self.encrypts:
            return []
        pair = self.pair(name)
        found = []
        for side in ("", "peer-"):
            found += [f"--{side}cert-file={pair}", f"--{side}key-file={pair}",
                      f"--{side}trusted-ca-file={self.pki.ca_path}",
                      f"--{side}client-cert-auth"]  # fmt: skip
        return found

    @contextmanager
    def running_for_a_block(self) -> Iterator[Etcd]:
        """Start all members, wait until each can be written through, and end those that run."""
        for name in NAMES:
            self.start(name, "new")
        try:
            for name in NAMES:
                self.await_writing(name)
            yield self
        finally:
            for name in list(self.running):
                self.kill(name)

    def start(self, name: str, state: str) -> subprocess.Popen[bytes]:
        """Start a member as its settings file has it."""
        argv = [
            str(self.program),
            f"--name={name}",
            f"--data-dir={self.folder / name}",
            f"--listen-client-urls={self.url(name)}",
            f"--advertise-client-urls={self.url(name)}",
            f"--listen-peer-urls={self.peer(name)}",
            f"--initial-advertise-peer-urls={self.peer(name)}",
            "--initial-cluster=" + ",".join(f"{n}={self.peer(n)}" for n in NAMES),
            f"--initial-cluster-state={state}",
            "--initial-cluster-token=bergen",
            "--heartbeat-interval=100",
            "--election-timeout=1000",
            *self._tls(name),
        ]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(argv, stdout=log, stderr=log)
        return self.running[name]

    def kill(self, name: str) -> None:
        self.running[name].kill()
        self.running.pop(name).wait()

    def await_leader(self, name: str) -> None:
        """Wait until a member answers and knows a leader."""
        self._await(
            name, lambda: self.ask(name, "maintenance/status", {}).get("leader", "0") != "0"
        )

    def await_writing(self, name: str) -> None:
        """Wait until something may be written through a member: no election is on."""
        self._await(name, lambda: bool(self.ask(name, "kv/put", {"key": "YQ==", "value": ""})))

    def _await(self, name: str, is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + STARTED_S
        while time.monotonic() < end:
            try:
                if is_so():
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError((self.folder / f"{name}.log").read_text()[-2000:])

    def trust(self) -> ssl.SSLContext | None:
        if not self.encrypts:
            return None
        context = ssl.create_default_context(cafile=self.pki.ca_path)
        context.load_cert_chain(self.pair(NAMES[0]))
        return context

    def ask(self, name: str, path: str, body: object) -> dict[str, object]:
        request = urllib.request.Request(f"{self.url(name)}/v3/{path}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=5, context=self.trust()) as answer:
            found: dict[str, object] = json.load(answer)
        return found
