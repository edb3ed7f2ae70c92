"""The model registry: hashing, moving and storing, each against a plain way to do the same."""

from __future__ import annotations

import base64
import http.client
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from rich.table import Table

from model_registry.checkpoint import files_of, pack
from model_registry.client import RegistryClient
from model_registry.layout import OciLayout
from model_registry.meter import Meter
from model_registry.transfer import pull, push
from tests.bench.pairs import Work, against
from tests.bench.registry_hashing import hashing_tables
from tests.contract.registry.fake import PASSWORD, USER
from tests.contract.registry.oras import oras_command
from tests.contract.registry.server import Server, docker_registry

MIB = 1 << 20
ROUNDS = 5
FILES, MOVED_FILES, FILE_MIB = 10, 5, 48
SPARSE_GIB = 20
ORAS_PUSH, ORAS_PULL = "oras cp from a layout", "oras cp to a layout"
UP, DOWN = ("push", ORAS_PUSH), ("pull", ORAS_PULL)


def tables() -> list[Table]:
    """Measure everything; returns the tables."""
    with tempfile.TemporaryDirectory(prefix="bench-registry-", dir=_roomy()) as scratch:
        folder = Path(scratch)
        source = _weights(folder / "files", range(FILES))
        with docker_registry(_made(folder / "registry")) as server:
            some = _weights(folder / "some", range(MOVED_FILES))
            moved = [_moving(some, folder, server), _sharing(source, folder, server)]
        return [*hashing_tables(source, folder), *moved, _memory(folder)]


def _moving(source: Path, folder: Path, server: Server) -> Table:
    layout = OciLayout.create(folder / "moving")
    checkpoint = pack(source, layout, "bench")
    files = files_of(layout.read_json(checkpoint))
    size = sum(f.size for f in files)
    plain, oras = _Plain(server), oras_command()
    rounds, arrived = iter(range(1000)), folder / "arrived"

    with _client(server) as client:

        def pushed() -> None:
            push(layout, client, f"bench/{next(rounds)}", checkpoint)

        def pulled() -> None:
            pull(client, "bench/plain", checkpoint, OciLayout.create(arrived / "pulled"))

        def uploaded() -> None:
            plain.upload(f"plain/{next(rounds)}", paths)

        def downloaded() -> None:
            plain.download("bench/plain", paths, _made(arrived / "plain"))

        push(layout, client, "bench/plain", checkpoint)
        paths = [(layout.blob_path(f.digest), f.digest) for f in files]
        ways: dict[str, Work] = {
            "push": pushed,
            "pull": pulled,
            ORAS_PUSH: lambda: _oras_push(
                oras, layout, checkpoint, server, f"oras/{next(rounds)}"
            ),
            ORAS_PULL: lambda: _oras_pull(oras, arrived / "oras", checkpoint, server),
        }
        # A repository of its own for each push, so that it sends all of its bytes
        found = {
            **against(uploaded, {name: ways[name] for name in UP}, ROUNDS),
            **against(
                downloaded,
                {name: ways[name] for name in DOWN},
                ROUNDS,
                before=lambda: shutil.rmtree(arrived, ignore_errors=True),
            ),
        }
    table = _table(
        f"{size / MIB:.0f} MiB to and from docker-registry, TLS, loopback",
        ("way", "MiB/s", "of plain HTTP, one stream", "half of them"),
    )
    for name, seen in found.items():
        table.add_row(
            name, f"{size / MIB / seen.seconds:.0f}", f"{seen.ratio:.2f}",
            f"{seen.low:.2f} to {seen.high:.2f}",
        )  # fmt: skip
    return table


def _sharing(source: Path, folder: Path, server: Server) -> Table:
    layout = OciLayout.create(folder / "sharing")
    base = pack(source, layout, "base")
    tuned_files = folder / "tuned-files"
    shutil.copytree(source, tuned_files)
    (tuned_files / "model-0.weights").write_bytes(os.urandom(FILE_MIB * MIB))
    tuned = pack(tuned_files, layout, "tuned")
    size = sum(f.size for f in files_of(layout.read_json(tuned)))
    table = _table(
        "a fine-tune that shares 90 % of its bytes with its base, in another repository",
        ("direction", "bytes", "bytes moved", "share"),
    )
    with _client(server) as client:
        push(layout, client, "sharing/base", base)
        sent, received = Meter(), Meter()
        push(
            layout, client, "sharing/tuned", tuned, meter=sent,
            lenders=lambda _: ("sharing/base",),
        )  # fmt: skip
        target = OciLayout.create(folder / "sharing-pulled")
        pull(client, "sharing/base", base, target)
        pull(client, "sharing/tuned", tuned, target, received)
    for name, meter in (("push", sent), ("pull", received)):
        table.add_row(name, f"{size:,}", f"{meter.moved:,}", f"{meter.moved / size:.3f}")
    return table


def _memory(folder: Path) -> Table:
    source = _made(folder / "sparse")
    with (source / "model.weights").open("wb") as file:
        file.truncate(SPARSE_GIB << 30)
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from model_registry.checkpoint import pack\n"
        "from model_registry.layout import OciLayout\n"
        "from model_registry.verify import verify\n"
        "layout = OciLayout.create(Path(sys.argv[2]))\n"
        "assert verify(layout, pack(Path(sys.argv[1]), layout, 'sparse')).holds\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script, str(source), str(folder / "sparse-oci")],
        check=True, capture_output=True, text=True, timeout=1800,
    )  # fmt: skip
    took = time.monotonic() - begin
    unit = 1 if sys.platform == "darwin" else 1024
    table = _table(
        f"a sparse checkpoint of {SPARSE_GIB} GiB, stored and verified",
        ("peak memory MB", "seconds", "on disk MB"),
    )
    stored = sum(p.stat().st_blocks * 512 for p in (folder / "sparse-oci").rglob("*"))
    table.add_row(f"{int(done.stdout) * unit / 1e6:.0f}", f"{took:.0f}", f"{stored / 1e6:.1f}")
    return table


class _Plain:
    """The same bytes by http.client, one stream, nothing checked."""

    def __init__(self, server: Server) -> None:
        self._address = server.address
        self._context = ssl.create_default_context(cafile=str(server.ca_file))
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        self._headers = {"Authorization": f"Basic {pair}"}

    def download(self, repository: str, blobs: Sequence[tuple[Path, str]], target: Path) -> None:
        connection = http.client.HTTPSConnection(self._address, context=self._context)
        for path, digest in blobs:
            connection.request("GET", f"/v2/{repository}/blobs/{digest}", headers=self._headers)
            response = connection.getresponse()
            assert response.status == 200
            with (target / path.name).open("wb") as file:
                shutil.copyfileobj(response, file, MIB)
                os.fsync(file.fileno())
        connection.close()

    def upload(self, repository: str, blobs: Sequence[tuple[Path, str]]) -> None:
        connection = http.client.HTTPSConnection(self._address, context=self._context)
        for path, digest in blobs:
            connection.request("POST", f"/v2/{repository}/blobs/uploads/", headers=self._headers)
            begun = connection.getresponse()
            begun.read()
            where = urlsplit(begun.headers["Location"])
            headers = {**self._headers, "Content-Length": str(path.stat().st_size)}
            with path.open("rb") as file:
                connection.request(
                    "PUT", f"{where.path}?{where.query}&digest={digest}", file, headers
                )
                response = connection.getresponse()
                response.read()
                assert response.status == 201
        connection.close()


def _oras_push(
    oras: Path, layout: OciLayout, checkpoint: str, server: Server, repository: str
) -> None:
    source = ["--from-oci-layout", f"{layout.path}@{checkpoint}"]
    _oras(oras, "to", server, *source, f"{server.address}/{repository}:bench")


def _oras_pull(oras: Path, target: Path, checkpoint: str, server: Server) -> None:
    source = f"{server.address}/bench/plain@{checkpoint}"
    _oras(oras, "from", server, source, "--to-oci-layout", f"{_made(target)}:bench")


def _oras(oras: Path, side: str, server: Server, *words: str) -> None:
    login = [f"--{side}-username", USER, f"--{side}-password", PASSWORD]  # `cp` reads none
    subprocess.run(
        [str(oras), "cp", f"--{side}-ca-file", str(server.ca_file), *login, *words],
        check=True, capture_output=True, timeout=600,
    )  # fmt: skip


def _weights(folder: Path, numbers: range) -> Path:
    _made(folder)
    for number in numbers:
        (folder / f"model-{number}.weights").write_bytes(os.urandom(FILE_MIB * MIB))
    return folder


def _client(server: Server) -> RegistryClient:
    return RegistryClient(
        f"oci://{server.address}", username=USER, password=PASSWORD, ca_file=server.ca_file
    )


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=f"{title} (lab)")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _roomy() -> str | None:
    """A folder on a disk that knows holes, not in memory."""
    return "/var/tmp" if Path("/var/tmp").is_dir() else None


if __name__ == "__main__":
    from rich.console import Console

    for made in tables():
        Console(width=100).print(made)
