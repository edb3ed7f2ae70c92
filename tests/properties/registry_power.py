"""A power cut before any effect of the model registry, and what must hold after it.

An effect is what a cut could fall before: a sync, a rename, a removal, a commit, a request that
changes something in an OCI registry. From the one that is hit nothing more happens, clean-up
included, as when the process was killed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import event
from sqlalchemy.engine import Engine

from model_registry.catalogue.audit import audit
from model_registry.catalogue.chain import Head
from model_registry.catalogue.model import Stage
from model_registry.client import RegistryClient
from model_registry.registry import Registry
from model_registry.verify import verify
from tests.contract.registry.fake import PASSWORD, USER, FakeRegistry

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
_LOOKING = ("GET", "HEAD")


class Killed(BaseException):
    """The process is gone."""


class Power:
    """Counts effects down to the one that no longer happens."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.is_off = False
        self.seen = 0

    def effect(self) -> None:
        self.seen += 1
        if self.left is not None:
            self.is_off = self.is_off or self.left == 0
            self.left -= 1
        if self.is_off:
            raise Killed

    @contextmanager
    def cut_after(self, effects: int | None) -> Iterator[None]:
        self.left, self.is_off, self.seen = effects, False, 0
        try:
            yield
        finally:
            self.left, self.is_off = None, False


POWER = Power()


@contextmanager
def wired() -> Iterator[None]:
    """Let every effect ask whether there is power."""
    kept = {name: getattr(Path, name) for name in ("replace", "unlink")}
    real_sync = os.fsync

    def before(real: Callable[..., Any]) -> Callable[..., Any]:
        def asks(*args: Any, **kwargs: Any) -> Any:
            POWER.effect()
            return real(*args, **kwargs)

        return asks

    def before_commit(_: Any) -> None:
        POWER.effect()

    for name, real in kept.items():
        setattr(Path, name, before(real))
    os.fsync = before(real_sync)
    event.listen(Engine, "commit", before_commit)
    try:
        yield
    finally:
        event.remove(Engine, "commit", before_commit)
        os.fsync = real_sync
        for name, real in kept.items():
            setattr(Path, name, real)


def files(root: Path, name: str, version: str) -> Path:
    """Write a model: its own weights, and a tokenizer that all share."""
    folder = root / f"files-{name}-{version}"
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(f"{name} {version}".encode())
    (folder / "tokenizer.json").write_bytes(b"{}")
    return folder


def require_sound(home: Path, heads: list[Head], seen: dict[str, str]) -> Registry | None:
    """Open a registry anew and require all that must always hold."""
    if not (home / "catalogue.db").exists():
        return None
    registry = Registry.open(home, who="auditor", create=True)
    held = {d for pins in registry.catalogue.pins().values() for d in pins.values()}
    for version in registry.catalogue.versions():
        needed = version.digest in held or version.stage is not Stage.RETIRED
        assert version.is_present or not needed, f"{version.label} is needed and collected"
        assert seen.setdefault(version.label, version.digest) == version.digest
        if version.is_present:
            assert verify(registry.layout, version.digest).holds, f"{version.label} is half"
    assert held <= {v.digest for v in registry.catalogue.versions() if v.is_present}
    for head in (None, *heads[-3:]):
        assert audit(registry.catalogue, head) == ()
    if (head := registry.catalogue.head()) is not None:
        heads.append(head)
    return registry


def client_of(remote: FakeRegistry) -> RegistryClient:
    """Return a client of a registry whose changes are effects, too."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method not in _LOOKING:
            POWER.effect()
        return remote.handle(request)

    return RegistryClient(
        "oci://registry.test", username=USER, password=PASSWORD,
        transport=httpx.MockTransport(handle), pause=lambda _: None,
    )  # fmt: skip


def require_remote_sound(remote: FakeRegistry) -> None:
    """Require that whatever an OCI registry names is whole there."""
    for (repository, name), (_, content) in remote.manifests.items():
        document = json.loads(content)
        needed = [one["digest"] for one in document.get("layers", ())]
        needed += [document["config"]["digest"]] if "config" in document else []
        missing = [blob for blob in needed if blob not in remote.blobs]
        assert not missing, f"{repository}:{name} is half: {missing}"
        for one in document.get("manifests", ()):
            assert (repository, one["digest"]) in remote.manifests, f"{name} names what is not"
