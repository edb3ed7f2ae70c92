"""The vCenter of a replay, started here."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.contract.provider.administrator import PASSWORD, TEMPLATE, USER, Administrator

START_TIMEOUT_S = 20.0
GPU = {
    "id": "0000:3b:00.0",
    "vendor": "10de",
    "device": "2331",
    "class": "0302",
    "name": "GH100 [H100 PCIe]",
}
HOOK = """#!/bin/sh
# VERB NAME: notes what happens to machines, and says the address a guest reports.
# A name with "noip" never reports one; "slowip" does after 5 s. Some guests do not shut down.
cat > /dev/null
case "$1 $2" in "shutdown ig0"|"shutdown ig1"|"shutdown del0"|"shutdown del1") exit 3 ;; esac
[ "$1" = list ] && echo "[]" && exit 0
printf '%s %s\\n' "$1" "$2" >> "{events}"
[ "$1" = on ] || exit 0
case $2 in *noip*) echo "{{}}"; exit 0 ;; *slowip*) sleep 5 ;; esac
last=$((10 + $(printf %s "$2" | cksum | cut -d' ' -f1) % 200))
echo '{{"address":"10.88.0.'$last'","prefix":24,"gateway":"10.88.0.1","hostname":"'"$2"'"}}'
"""


def inventory(folder: Path, port: int) -> dict[str, Any]:
    """Return the configuration that gives the recorded inventory."""
    return {
        "listen": f"127.0.0.1:{port}",
        "user": USER,
        "password_file": str(folder / "password"),
        "cert_file": str(folder / "cert.pem"),
        "key_file": str(folder / "key.pem"),
        "state_dir": str(folder / "state"),
        "hook": [str(folder / "hook")],
        "cgroup_root": "",
        "datacenter": "DC0",
        "cluster": "DC0_C0",
        "datastore": "LocalDS_0",
        "network": "DC0_DVPG0",
        "hosts": [{"name": f"DC0_C0_H{i}", "gpus": [GPU]} for i in range(4)],
        # The recorded vCenter moved nothing by itself.
        "drs": {"level": "manual"},
        "template": {
            "name": TEMPLATE,
            "disk_gib": 10,
            "guest_id": "otherGuest",
            "hardware_version": "vmx-13",
            "firmware": "bios",
        },
    }


def write_certificate(folder: Path) -> None:
    """Write a certificate of its own for 127.0.0.1; nobody checks it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "contract")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=2))
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class VCenter:
    """A vCenter with the recorded inventory and nothing behind it.

    ``shape`` may change the configuration before it starts.
    """

    def __init__(
        self, program: Path, shape: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="contract-")
        folder = Path(self._folder.name)
        self.events_file = folder / "events"
        self.events_file.touch()
        hook = folder / "hook"
        hook.write_text(HOOK.format(events=self.events_file))
        hook.chmod(0o755)
        self.port = free_port()
        (folder / "password").write_text(PASSWORD)
        (folder / "state").mkdir()
        write_certificate(folder)
        configuration = inventory(folder, self.port)
        shape(configuration)
        (folder / "config.json").write_text(json.dumps(configuration))
        # It ends with this process, however that ends: the kernel closes the writing end.
        watched, self._leash = os.pipe()
        with (folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [str(program), "-watch", str(watched), "-config", str(folder / "config.json")],
                stdout=log,
                stderr=log,
                pass_fds=[watched],
                env={**os.environ, "TMPDIR": str(folder)},
            )
        os.close(watched)
        self._await_start()
        self.admin = Administrator(self.port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait(10)
        os.close(self._leash)
        with contextlib.suppress(OSError):
            self._folder.cleanup()

    def _await_start(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), timeout=1),
            ):
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        log = (Path(self._folder.name) / "log").read_text()
        raise RuntimeError(f"the vCenter did not start: {log[-1000:]}")

    @property
    def vcenter_dir(self) -> Path:
        """Where the lab would keep the vCenter's files."""
        return Path(self._folder.name)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Say whether it still runs."""
        return self._process.poll() is None

    def refuse(self, method: str, words: str) -> None:
        """Let the next call of a method fail with these words."""
        transport = httpx.HTTPTransport(uds=str(Path(self._folder.name) / "state" / "admin.sock"))
        with httpx.Client(transport=transport, timeout=10) as client:
            query = {"method": method, "times": "1", "words": words}
            client.post("http://vcenter/service/refuse", params=query).raise_for_status()

    def power_events(self) -> list[str]:
        """Return what happened to machines so far; off is off, gently or not."""
        verbs = [line.split()[0] for line in self.events_file.read_text().splitlines()]
        return ["off" if verb == "shutdown" else verb for verb in verbs]
