"""Two who attach to one checkpoint at once, where the registry cannot list referrers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from model_registry import fallback
from model_registry.client import RegistryClient
from model_registry.errors import RegistryError
from model_registry.layout import OciLayout
from model_registry.media_types import SIGNATURE
from model_registry.referring import attach
from tests.contract.registry.fake import PASSWORD, USER, FakeRegistry
from tests.unit.model_registry.models import folder

REPOSITORY = "checkpoints/tiny"


def new_client(registry: FakeRegistry) -> RegistryClient:
    return RegistryClient(
        "oci://registry.test",
        username=USER,
        password=PASSWORD,
        transport=registry.transport(),
        pause=lambda _: None,
    )


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def made(tmp_path: Path) -> tuple[OciLayout, str, list[str]]:
    from model_registry.checkpoint import pack

    store = OciLayout.create(tmp_path / "oci")
    checkpoint = pack(folder(tmp_path / "files", b"weights"), store, "tiny")
    digests = [
        attach(store, checkpoint, SIGNATURE, f"by {n}".encode(), "model.sig") for n in range(2)
    ]
    return store, checkpoint, digests


def between(registry: FakeRegistry, tag: str, work: Callable[[], None]) -> None:
    """Let work happen once, right before the first write of a tag."""

    def fault(request: httpx.Request) -> httpx.Response | None:
        if request.method == "PUT" and request.url.path.endswith(tag):
            registry.faults.remove(fault)
            work()
        return None

    registry.faults.append(fault)


def named(registry: FakeRegistry, checkpoint: str) -> set[str]:
    _, content = registry.manifests[REPOSITORY, checkpoint.replace(":", "-")]
    return {entry["digest"] for entry in json.loads(content)["manifests"]}


def test_a_stale_write_is_mended_by_whoever_wrote_it(
    registry: FakeRegistry, made: tuple[OciLayout, str, list[str]]
) -> None:
    store, checkpoint, (one, other) = made
    first, second = new_client(registry), new_client(registry)
    tag = checkpoint.replace(":", "-")
    between(registry, tag, lambda: second.put_manifest(REPOSITORY, store.read(other)) and None)
    first.put_manifest(REPOSITORY, store.read(one))
    assert named(registry, checkpoint) == {one, other}
    # The control: a plain read, extend, write loses the other one
    registry.manifests.clear()
    index = {"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}
    second.put_manifest(REPOSITORY, store.read(other))
    first.put_tag(REPOSITORY, tag, json.dumps(index).encode())
    assert named(registry, checkpoint) == set()


def test_a_writer_that_died_after_its_stale_write_hides_nothing(
    registry: FakeRegistry, made: tuple[OciLayout, str, list[str]]
) -> None:
    store, checkpoint, (one, other) = made
    first, second = new_client(registry), new_client(registry)
    first.put_manifest(REPOSITORY, store.read(one))
    stale = registry.manifests[REPOSITORY, checkpoint.replace(":", "-")]
    second.put_manifest(REPOSITORY, store.read(other))
    registry.manifests[REPOSITORY, checkpoint.replace(":", "-")] = stale
    assert {r["digest"] for r in first.referrers(REPOSITORY, checkpoint)} == {one, other}
    first.put_manifest(REPOSITORY, store.read(one))  # and the next one mends it for all
    assert named(registry, checkpoint) == {one, other}


def test_pushing_the_same_again_writes_no_index(
    registry: FakeRegistry, made: tuple[OciLayout, str, list[str]]
) -> None:
    store, checkpoint, (one, _) = made
    client = new_client(registry)
    client.put_manifest(REPOSITORY, store.read(one))
    tag, begun = checkpoint.replace(":", "-"), len(registry.requests)
    client.put_manifest(REPOSITORY, store.read(one))
    later = registry.requests[begun:]
    assert not [r for r in later if r.method == "PUT" and r.url.path.endswith(tag)]


def test_endless_contention_is_told(
    registry: FakeRegistry,
    made: tuple[OciLayout, str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, checkpoint, (one, _) = made
    tag = checkpoint.replace(":", "-")

    def lose(request: httpx.Request) -> httpx.Response | None:
        is_index = request.method == "PUT" and request.url.path.endswith(tag)
        return httpx.Response(201) if is_index else None

    class Always(list[object]):
        def remove(self, _: object) -> None:
            return

    registry.faults = Always([lose])  # type: ignore[assignment]
    monkeypatch.setattr(fallback, "_ROUNDS", 3)
    with pytest.raises(RegistryError, match="REFERRERS_CONTENDED"):
        new_client(registry).put_manifest(REPOSITORY, store.read(one))
