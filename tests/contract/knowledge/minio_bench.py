"""A real MinIO of three on one machine: the lab's image, with the settings that members get."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from lab.instance.waiting import wait_until
from permafrost.adapters.object_store import probe
from permafrost.errors import Problem
from permafrost.pki.store import SitePki
from permafrost.site.object_store import ObjectStore
from tests.contract.knowledge.processes import end
from tests.contract.knowledge.s3_bench import a_port
from tests.golden.ansible.rendering import render

NAMES = ("hamar-knowledge-01", "hamar-knowledge-02", "hamar-knowledge-03")
USER, SECRET = "permafrost", "a-secret-of-this-test"
STARTED_S = 40.0


def an_address() -> str:
    """Return an address of this machine: in a container MinIO takes none on the loopback for a
    node's. Nothing is sent: a datagram socket that connects chooses an address, no more."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as chooser:
        try:
            chooser.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(chooser.getsockname()[0])


@contextmanager
def whole(program: Path, folder: Path) -> Iterator[Minio]:
    """Give three nodes that have reached each other."""
    cluster = Minio(program, folder)
    try:
        cluster.start()
        for name in NAMES:
            cluster.await_whole(name)
        yield cluster
    finally:
        cluster.stop()


@dataclass
class Minio:
    """Three nodes of two drives each; ``authorities``: node -> whose certificate it shows."""

    program: Path
    folder: Path
    authorities: dict[str, SitePki] = field(default_factory=dict)
    address: str = field(default_factory=an_address)
    ports: dict[str, int] = field(default_factory=lambda: {n: a_port() for n in NAMES})
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def pki(self) -> SitePki:
        return SitePki(self.folder / "site", "hamar")

    def places(self) -> list[dict[str, object]]:
        return [{"name": n, "address": self.address, "port": self.ports[n]} for n in NAMES]

    def url(self, name: str) -> str:
        return f"https://{self.address}:{self.ports[name]}"

    def pair(self, name: str) -> str:
        """Return a member's certificate and its key, as a member has them in one file."""
        issued = self._issued(name)
        return issued[0] + issued[1]

    def start(self, names: Iterable[str] = NAMES) -> None:
        for name in names:
            self._start(name)

    def stop(self, names: Iterable[str] = NAMES) -> None:
        end(self.running, names)

    def asked(self, name: str, *, secret: str = SECRET, ca: str | None = None) -> Problem | None:
        """Ask a node for a bucket, with a key; there is none, so the best answer is that."""
        store = ObjectStore.model_validate(
            {
                "address": self.address,
                "port": self.ports[name],
                "bucket": "milvus",
                "access_key": USER,
                "secret_key_file": "secret",
            }
        )
        return probe(store, secret, self.pki.ca_pem() if ca is None else ca)

    def await_whole(self, name: str) -> None:
        """Wait until a node answers a request with the right key: it has reached the others."""

        def is_whole() -> bool:
            found = self.asked(name)
            return found is not None and found.code == "OBJECT_STORE_BUCKET_MISSING"

        if not wait_until(is_whole, STARTED_S, 0.2):
            raise AssertionError((self.folder / f"{name}.log").read_text()[-2000:])

    def _start(self, name: str) -> None:
        home = self.folder / name
        certificates = home / "certs"
        (certificates / "CAs").mkdir(parents=True, exist_ok=True)
        (certificates / "CAs" / "ca.crt").write_text(self.pki.ca_pem())
        certificate, key = self._issued(name)
        (certificates / "public.crt").write_text(certificate)
        (certificates / "private.key").write_text(key)
        for port in self.ports.values():
            for drive in ("d1", "d2"):
                (self.folder / "data" / str(port) / drive).mkdir(parents=True, exist_ok=True)
        text = render(
            "minio/config.env.j2",
            name,
            minio_members=self.places(),
            minio_password=SECRET,
            minio_root_disk=True,
        )
        # On one machine each node's drives have paths of their own.
        text = re.sub(r":(\d+)/data/", rf":\1{self.folder}/data/\1/", text)
        (self.folder / "config.env").write_text(text)
        argv = [str(self.program), "server", "--quiet", f"--certs-dir={certificates}",
                f"--address={self.address}:{self.ports[name]}"]  # fmt: skip
        environment = {
            # One for all: they compare what they were told.
            "MINIO_CONFIG_ENV_FILE": str(self.folder / "config.env"),
            # The drives are on the machine's own disk.
            "MINIO_CI_CD": "1",
            "HOME": str(home),
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(argv, stdout=log, stderr=log, env=environment)

    def _issued(self, name: str) -> tuple[str, str]:
        issued = self.authorities.get(name, self.pki).server_certificate(
            name,
            addresses={IPv4Address("127.0.0.1"), IPv4Address(self.address)},
            is_client=True,
        )
        return issued.certificate_pem, issued.key_pem
