"""A registry that lies, ends early or goes away, a disk that is full: nothing half is visible.

The real server behind a connection that changes what passes; a real small disk.
"""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model_registry.client import RegistryClient
from model_registry.digests import of_bytes
from model_registry.fingerprint.document import read
from model_registry.fingerprint.referrers import all_in_registry, push
from permafrost.node import pull as pulling
from permafrost.node.baselines import follow
from permafrost.node.errors import NodeError
from permafrost.node.manifests import files_of
from permafrost.node.pull import pull
from permafrost.node.registry import RegistryReader
from permafrost.node.settings import Registry
from permafrost.node.store import ModelStore
from tests.contract.registry.fake import PASSWORD, USER
from tests.contract.registry.server import Server
from tests.contract.registry.test_node_pull import REPOSITORY, checkpoint, settings

__all__ = ["checkpoint", "settings"]

Tamper = Callable[[bytes, int], bytes]


class Meddling(http.client.HTTPSConnection):
    """Changes what passes of blobs and manifests; counts blob transfers that overlap."""

    blobs: Tamper
    manifests: Tamper
    ranges: list[str]
    lock: threading.Lock
    open_now: int
    most_open: int
    refuses: bool

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **rest: Any):  # type: ignore[no-untyped-def,override]
        kind = type(self)
        if kind.refuses:
            raise ConnectionRefusedError("the registry is gone")
        self._tamper = kind.blobs if "/blobs/" in url else kind.manifests
        self._is_blob = "/blobs/" in url
        if self._is_blob:
            with kind.lock:
                kind.ranges.append((headers or {}).get("Range", ""))
                kind.open_now += 1
                kind.most_open = max(kind.most_open, kind.open_now)
        super().request(method, url, body, headers or {}, **rest)

    def getresponse(self):  # type: ignore[no-untyped-def,override]
        return Meddled(super().getresponse(), self._tamper)

    def close(self) -> None:
        kind = type(self)
        if getattr(self, "_is_blob", False):
            self._is_blob = False
            with kind.lock:
                kind.open_now -= 1
        super().close()


class Meddled:
    """An answer whose bytes go through somebody's hands; ``at`` is where a chunk begins."""

    def __init__(self, response: http.client.HTTPResponse, tamper: Tamper) -> None:
        self._response, self._tamper, self._at = response, tamper, 0
        self.status, self.headers = response.status, response.headers

    def read(self, amount: int) -> bytes:
        content = self._tamper(self._response.read(amount), self._at)
        self._at += len(content)
        return content


def honest(content: bytes, _: int) -> bytes:
    return content


@pytest.fixture
def line(server: Server) -> Any:
    """The connection's class: set its tamperers, read what it counted."""
    return type(
        "Line",
        (Meddling,),
        {
            "blobs": staticmethod(honest),
            "manifests": staticmethod(honest),
            "ranges": [],
            "lock": threading.Lock(),
            "open_now": 0,
            "most_open": 0,
            "refuses": False,
        },
    )


@pytest.fixture
def reader(server: Server, settings: Registry, line: Any) -> RegistryReader:
    context = ssl.create_default_context(cafile=str(server.ca_file))
    return RegistryReader(settings, lambda netloc: line(netloc, timeout=10, context=context))


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def fetch(checkpoint: str, store: ModelStore, reader: RegistryReader, tmp_path: Path) -> Any:
    return pull(checkpoint, store, reader, tmp_path / "fingerprint.json", dict)


def flip(content: bytes, at: int) -> bytes:
    return content if at or not content else bytes([content[0] ^ 1]) + content[1:]


def shorten(content: bytes, _: int) -> bytes:
    return content[:-1] if len(content) < 100 else content[:50]


def lengthen(content: bytes, _: int) -> bytes:
    return content or b"and on"


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (flip, "REGISTRY_BYTES_WRONG"),
        (lambda content, at: b"" if at >= 1_000_000 else content, "REGISTRY_CUT_OFF"),
        (lengthen, "REGISTRY_BYTES_WRONG"),
    ],
    ids=["a flipped byte", "a truncated blob", "a blob that does not end"],
)
def test_a_lying_registry_leaves_nothing_visible(
    tamper: Tamper,
    code: str,
    checkpoint: str,
    store: ModelStore,
    reader: RegistryReader,
    line: Any,
    tmp_path: Path,
) -> None:
    def weights_only(content: bytes, at: int) -> bytes:
        return tamper(content, at)

    line.blobs = staticmethod(weights_only)
    with pytest.raises(NodeError) as caught:
        fetch(checkpoint, store, reader, tmp_path)
    assert caught.value.code == code
    assert list(store.trees.glob("sha256-*")) == []
    line.blobs = staticmethod(honest)
    fetch(checkpoint, store, reader, tmp_path)
    assert store.verify(checkpoint)


@pytest.mark.parametrize("tamper", [flip, shorten])
def test_an_edited_manifest_is_refused(
    tamper: Tamper,
    checkpoint: str,
    store: ModelStore,
    reader: RegistryReader,
    line: Any,
    tmp_path: Path,
) -> None:
    line.manifests = staticmethod(tamper)
    with pytest.raises(NodeError, match="REGISTRY_BYTES_WRONG"):
        fetch(checkpoint, store, reader, tmp_path)
    assert not store.blob(checkpoint).exists()
    assert list(store.trees.glob("sha256-*")) == []


def test_a_file_that_the_registry_has_lost_is_named(
    checkpoint: str,
    store: ModelStore,
    reader: RegistryReader,
    server: Server,
    settings: Registry,
    tmp_path: Path,
) -> None:
    store.create()
    manifest = json.loads(reader.manifest(checkpoint))
    manifest["layers"][0]["digest"] = "sha256:" + "0" * 64
    content = json.dumps(manifest).encode()
    store.keep_bytes(content, of_bytes(content))
    with pytest.raises(NodeError, match=f"REGISTRY_NOT_FOUND.*{'0' * 64}"):
        fetch(of_bytes(content), store, reader, tmp_path)
    assert list(store.trees.glob("sha256-*")) == []


def test_a_registry_lost_in_the_middle_then_back(
    checkpoint: str,
    store: ModelStore,
    reader: RegistryReader,
    line: Any,
    tmp_path: Path,
) -> None:
    def goes_away(content: bytes, at: int) -> bytes:
        if at < 6_000_000:
            return content
        line.refuses = True
        raise ConnectionResetError("the registry went away")

    line.blobs = staticmethod(goes_away)
    with pytest.raises(NodeError, match="REGISTRY_UNREACHABLE"):
        fetch(checkpoint, store, reader, tmp_path)
    assert list(store.trees.glob("sha256-*")) == []
    line.blobs, line.refuses = staticmethod(honest), False
    line.ranges.clear()
    fetch(checkpoint, store, reader, tmp_path)
    assert store.verify(checkpoint)
    (resumed,) = [r for r in line.ranges if r]
    assert int(resumed.removeprefix("bytes=").removesuffix("-")) >= 6_000_000


def test_files_come_in_parallel(
    checkpoint: str,
    store: ModelStore,
    reader: RegistryReader,
    line: Any,
    tmp_path: Path,
) -> None:
    """Each of the three waits, once, until all three are under way."""
    together = threading.Barrier(3, timeout=20)

    def meets_the_others(content: bytes, at: int) -> bytes:
        if at == 0 and content and threading.current_thread().name.startswith("pull"):
            together.wait()
        return content

    line.blobs = staticmethod(meets_the_others)
    fetch(checkpoint, store, reader, tmp_path)
    assert line.most_open >= 3
    assert store.verify(checkpoint)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True, timeout=30)
    yield folder
    subprocess.run(["umount", str(folder)], check=True, timeout=30)


def test_a_full_disk_is_told_before_and_while_it_fills(
    checkpoint: str,
    reader: RegistryReader,
    small_disk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ModelStore(small_disk / "models")
    with pytest.raises(NodeError, match=r"DISK_FULL.*are to be fetched"):
        fetch(checkpoint, store, reader, tmp_path)
    files = files_of(store.manifest(checkpoint))
    assert not any(store.blob(f.digest).exists() for f in files)
    # As if somebody else had taken the room after we looked
    monkeypatch.setattr(pulling, "_require_room", lambda *_: None)
    with pytest.raises(NodeError, match=r"DISK_FULL.*No space left"):
        fetch(checkpoint, store, reader, tmp_path)
    assert list(store.trees.glob("sha256-*")) == []
    with pytest.raises(NodeError, match="CHECKPOINT_NOT_HERE"):
        store.verify(checkpoint)


def test_fingerprints_are_pushed_found_and_followed_by_class(
    checkpoint: str,
    server: Server,
    reader: RegistryReader,
    tmp_path: Path,
) -> None:
    """The real registry has no referrers call: this goes by the fallback tag."""
    target = tmp_path / "fingerprint.json"
    classes = [{"engine_image": "sha256:" + d * 64, "gpu": g} for d, g in (("1", "A"), ("2", "B"))]
    with RegistryClient(
        f"oci://{server.address}", username=USER, password=PASSWORD, ca_file=server.ca_file
    ) as client:
        kept = []
        for told in classes:
            found = {"schema": 2, "checkpoint": checkpoint, "serving_class": told, "probes": []}
            kept.append(read(found).as_dict())
            push(client, REPOSITORY, checkpoint, kept[-1])
        assert list(all_in_registry(client, REPOSITORY, checkpoint))[-2:] == kept
    for document in kept:
        assert follow(checkpoint, reader, target, lambda told=document: told["serving_class"])
        assert json.loads(target.read_bytes()) == document
    assert not follow(checkpoint, reader, target, lambda: kept[-1]["serving_class"])
