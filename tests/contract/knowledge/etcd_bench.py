"""A real etcd of three on the loopback: the lab's image, its processes started and killed."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lab.build import parts

NAMES = ("bergen-knowledge-01", "bergen-knowledge-02", "bergen-knowledge-03")
STARTED_S = 30.0


def etcd_program(folder: Path) -> Path:
    """Take the server out of the lab's image."""
    oci = parts.path("image-etcd") / "oci"
    index = json.loads((oci / "index.json").read_text())
    blob = lambda d: oci / "blobs" / d["digest"].replace(":", "/")  # noqa: E731
    manifest = json.loads(blob(index["manifests"][0]).read_text())
    for layer in reversed(manifest["layers"]):
        with gzip.open(blob(layer)) as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
            for member in archive:
                if member.name.removeprefix("./") == "usr/bin/etcd":
                    inside = archive.extractfile(member)
                    assert inside is not None
                    with (folder / "etcd").open("wb") as file:
                        shutil.copyfileobj(inside, file)
                    (folder / "etcd").chmod(0o755)
                    return folder / "etcd"
    raise AssertionError("the image has no etcd")


@dataclass
class Etcd:
    """Three members; each has its data in a folder of its own."""

    program: Path
    folder: Path
    ports: dict[str, tuple[int, int]] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2 * len(NAMES))]
        found = [s.getsockname()[1] for s in held]
        for listener in held:
            listener.close()
        self.ports = {n: (found[2 * i], found[2 * i + 1]) for i, n in enumerate(NAMES)}

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name][0]}"

    def peer(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name][1]}"

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

    def ask(self, name: str, path: str, body: object) -> dict[str, object]:
        request = urllib.request.Request(f"{self.url(name)}/v3/{path}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=5) as answer:
            found: dict[str, object] = json.load(answer)
        return found
