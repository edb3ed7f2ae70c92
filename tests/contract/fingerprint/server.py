"""The real Triton with the real backend, from the lab's own image, on loopback ports.

The image's root filesystem is unpacked once. A server runs in it with mounts, processes and
shared memory of its own, not as root; it dies with the test that started it.
"""

from __future__ import annotations

import fcntl
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import jinja2

from lab.build import parts
from model_registry.checkpoint import files_of
from model_registry.layout import OciLayout
from permafrost.node.settings import SlotPorts
from permafrost.node.triton import Triton, TritonError

ROOT = Path(__file__).resolve().parents[3]
TEMPLATES = ROOT / "templates" / "triton"
ALONE = (
    *("setpriv", "--pdeathsig", "KILL", "--"),  # also when the test is killed
    *("unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child"),
)
STARTS_WITHIN_S = 120
USER = 10001
CONTEXT_TOKENS = 2048

START = """
set -e
mount --bind {root} {root}
mount -t proc proc {root}/proc
mount --rbind /dev {root}/dev
mount -t tmpfs -o mode=1777 tmpfs {root}/dev/shm
mount -t tmpfs -o mode=1777 tmpfs {root}/tmp
for pair in {checkpoint}:checkpoint {models}:models; do
  mount --bind -o ro "${{pair%%:*}}" {root}/"${{pair#*:}}"
done
mount --bind {counters} {root}/run/permafrost
exec chroot {root} /usr/bin/setpriv --reuid={user} --regid={user} --clear-groups \\
  --pdeathsig=KILL /usr/bin/env -i HOME=/tmp \\
  PATH=/opt/tritonserver/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 \\
  PERMAFROST_COUNTERS=/run/permafrost/counters tritonserver --model-repository=/models \\
  --model-control-mode=explicit --load-model=chat --strict-readiness=true \\
  --disable-auto-complete-config --http-address=127.0.0.1 --http-port={http} \\
  {grpc} --metrics-address=127.0.0.1 --metrics-port={metrics} --exit-timeout-secs=2 \\
  --backend-config=python,shm-region-prefix-name=triton_{http}_ \\
  --backend-config=python,shm-default-byte-size=67108864
"""


def image_root() -> Path:
    """Return the unpacked root filesystem of the lab's Triton image."""
    image = parts.path("image-triton")
    digest = (image / "digest").read_text().strip().removeprefix("sha256:")
    folder = ROOT / ".cache" / "triton"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / digest[:20]
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            for old in (p for p in folder.iterdir() if p.is_dir()):
                shutil.rmtree(old)
            part = folder / "part"
            subprocess.run(
                ["umoci", "raw", "unpack", "--image", f"{image / 'oci'}:triton", str(part)],
                check=True,
                capture_output=True,
                timeout=300,
            )
            root = part if (part / "opt").is_dir() else part / "rootfs"
            for name in ("checkpoint", "models", "run/permafrost"):
                (root / name).mkdir(parents=True, exist_ok=True)
            root.replace(target)
            shutil.rmtree(part, ignore_errors=True)
    return target


def files_of_part(name: str, folder: Path) -> Path:
    """Write a built checkpoint's files; returns their folder."""
    part = parts.path(name)
    layout = OciLayout(part / "oci")
    for file in files_of(layout.read_json((part / "digest").read_text().strip())):
        shutil.copyfile(layout.blob_path(file.digest), folder / file.path)
        (folder / file.path).chmod(0o644)
    folder.chmod(0o755)
    return folder


@dataclass
class Served:
    """A running server and its node-side reader."""

    triton: Triton
    process: subprocess.Popen[bytes]
    log: Path
    asked: int = field(default=0)

    def load_heavily(self, requests: int = 12, at_once: int = 6) -> None:
        """Send a burst of requests of many lengths at once, and wait until it is over.

        An answer comes a moment before its request is no longer counted.
        """

        def one(number: int) -> None:
            sampling = {"max_tokens": 4 + number % 13, "temperature": 0.9, "seed": number}
            text = f"{number}: tell me about " + "water and wind " * (1 + number % 7)
            self.triton.generate(text, sampling, 300)

        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(one, range(self.asked, self.asked + requests)))
        self.asked += requests
        deadline = time.monotonic() + 30
        while not self.triton.load().idle:
            assert time.monotonic() < deadline, "a request that was answered is still counted"
            time.sleep(0.01)


@contextmanager
def served(
    checkpoint: Path, folder: Path, digest: str, *, http: int = 0, grpc: int = 0
) -> Iterator[Served]:
    """Run a Triton over a checkpoint's folder for a block; without a port gRPC is not offered."""
    folder.mkdir(parents=True)
    models = _repository(folder, digest)
    counters = folder / "counters"
    counters.mkdir()
    shutil.chown(counters, USER, USER)
    http, metrics = http or _free_port(), _free_port()
    offered = f"--grpc-address=127.0.0.1 --grpc-port={grpc}" if grpc else "--allow-grpc=false"
    script = START.format(
        root=image_root(),
        checkpoint=checkpoint,
        models=models,
        counters=counters,
        user=USER,
        http=http,
        grpc=offered,
        metrics=metrics,
    )
    log = folder / "triton.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*ALONE, "bash", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    triton = Triton(SlotPorts(http, metrics), "chat", counters / "counters")
    try:
        _await_ready(triton, process, log)
        yield Served(triton, process, log)
    finally:
        # Its children die with it: they ask for that after the change of user, which takes an
        # earlier wish back.
        process.kill()
        process.wait(30)
        _await_gone(triton)


def _repository(folder: Path, digest: str) -> Path:
    code = folder / "models" / "chat" / "1"
    code.mkdir(parents=True)
    for path in (*(TEMPLATES / "shared").glob("*.py"), *(TEMPLATES / "llamacpp").glob("*.py")):
        shutil.copyfile(path, code / path.name)
    text = jinja2.Template((TEMPLATES / "config.pbtxt.j2").read_text()).render(
        triton_endpoint="chat",
        triton_checkpoint=digest,
        triton_max_context_tokens=CONTEXT_TOKENS,
        triton_max_concurrent=4,
    )
    (code.parent / "config.pbtxt").write_text(text)
    for path in (folder, *folder.parents):
        if path.stat().st_uid == 0 and path.is_relative_to("/tmp") and path != Path("/tmp"):
            path.chmod(0o755)
    return folder / "models"


def _await_ready(triton: Triton, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while not _is_ready(triton):
        tail = log.read_text(errors="replace")[-2000:]
        assert process.poll() is None, f"Triton ended: {tail}"
        assert time.monotonic() < deadline, f"Triton is not ready: {tail}"
        time.sleep(0.1)


def _await_gone(triton: Triton) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            triton.check_ready()
        except TritonError as error:
            if error.gone:
                return
        assert time.monotonic() < deadline, "Triton outlives the test that started it"
        time.sleep(0.05)


def _is_ready(triton: Triton) -> bool:
    """Whether it answers on both of its ports: the one of its metrics opens a moment later."""
    try:
        triton.check_ready()
        triton.load()
    except TritonError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
