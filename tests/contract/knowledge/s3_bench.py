"""A real S3 server, the lab's MinIO, on the loopback unless told otherwise."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from permafrost.adapters.object_store import probe
from permafrost.errors import Problem
from permafrost.pki.store import SitePki
from permafrost.site.object_store import ObjectStore

STARTED_S = 60.0
USER, SECRET = "permafrost", "a-secret-of-this-test"


def a_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class S3:
    """The server, and the site file's section that names it."""

    program: Path
    folder: Path
    port: int = field(default_factory=a_port)
    address: str = "127.0.0.1"
    running: subprocess.Popen[bytes] | None = None

    @property
    def ca(self) -> str:
        return SitePki(self.folder, "oslo").ca_pem()

    def store(self, **other: object) -> ObjectStore:
        values = {
            "address": self.address,
            "port": self.port,
            "bucket": "knowledge",
            "access_key": USER,
            "secret_key_file": "secret",
        }
        return ObjectStore.model_validate(values | other)

    def start(self) -> None:
        """Start it with one bucket, and wait until it answers a request with the right key."""
        certs = self.folder / "certs"
        certs.mkdir(parents=True)
        issued = SitePki(self.folder, "oslo").server_certificate(
            "s3", addresses=[IPv4Address(self.address)]
        )
        (certs / "public.crt").write_text(issued.certificate_pem)
        (certs / "private.key").write_text(issued.key_pem)
        self._run()
        self._await({"OBJECT_STORE_BUCKET_MISSING"})

    def restart(self) -> None:
        """Start it again with what it has, and wait until it answers."""
        self._run()
        self._await({None})

    def _run(self) -> None:
        certs = self.folder / "certs"
        # A folder among its data is a bucket to a server of one drive once it has a format.
        argv = [str(self.program), "server", "--quiet", f"--certs-dir={certs}",
                f"--address={self.address}:{self.port}", str(self.folder / "data")]  # fmt: skip
        environment = {
            **os.environ,
            "MINIO_ROOT_USER": USER,
            "MINIO_ROOT_PASSWORD": SECRET,
            "MINIO_CI_CD": "1",
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "HOME": str(self.folder),
        }
        with (self.folder / "s3.log").open("ab") as log:
            self.running = subprocess.Popen(argv, stdout=log, stderr=log, env=environment)

    def stop(self) -> None:
        if self.running is not None:
            self.running.kill()
            self.running.wait()
            self.running = None

    def make_bucket(self) -> None:
        (self.folder / "data" / "knowledge").mkdir()

    def asked(self) -> Problem | None:
        return probe(self.store(), SECRET, self.ca)

    def _await(self, codes: set[str | None]) -> None:
        end = time.monotonic() + STARTED_S
        while time.monotonic() < end:
            found = self.asked()
            if (None if found is None else found.code) in codes:
                return
            time.sleep(0.2)
        raise AssertionError((self.folder / "s3.log").read_text()[-2000:])
