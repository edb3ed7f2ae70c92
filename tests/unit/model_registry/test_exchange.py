"""Versions to and from a registry that holds something already."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_registry import digests
from model_registry.checkpoint import pack
from model_registry.client import RegistryClient
from model_registry.errors import RegistryRefused
from model_registry.exchange import pull_version, push_version
from model_registry.layout import OciLayout
from model_registry.meter import Meter
from model_registry.registry import Registry
from model_registry.transfer import push_layout
from model_registry.verify import verify
from tests.contract.registry.fake import PASSWORD, USER, FakeRegistry
from tests.unit.model_registry.models import added

REPOSITORY = "checkpoints/chat"


@pytest.fixture
def remote() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def client(remote: FakeRegistry) -> RegistryClient:
    return RegistryClient(
        "oci://registry.test", username=USER, password=PASSWORD, transport=remote.transport()
    )


def pushed(registry: Registry, client: RegistryClient) -> str:
    version = registry.resolve("chat:1")
    push_version(registry, version, client, lambda _: REPOSITORY, Meter())
    return version.digest


def test_a_tag_of_other_content_is_not_moved(
    registry: Registry, client: RegistryClient, remote: FakeRegistry, tmp_path: Path
) -> None:
    added(registry, "chat", "1", b"weights")
    digest = pushed(registry, client)
    assert pushed(registry, client) == digest, "the same again is no change"
    other = Registry.open(tmp_path / "other" / "models", who="bob", create=True)
    added(other, "chat", "1", b"else-is")
    before = dict(remote.manifests), dict(remote.blobs)
    with pytest.raises(RegistryRefused, match="VERSION_IMMUTABLE"):
        pushed(other, client)
    assert (remote.manifests, remote.blobs) == before
    assert digests.of_bytes(client.manifest_bytes(REPOSITORY, "1")) == digest


def test_a_pull_mends_what_is_damaged(registry: Registry, client: RegistryClient) -> None:
    added(registry, "chat", "1", b"weights")
    digest = pushed(registry, client)
    for layer in registry.layout.read_json(digest)["layers"]:
        registry.layout.blob_path(layer["digest"]).write_bytes(b"damaged")
    assert not verify(registry.layout, digest).holds
    pull_version(registry, client, REPOSITORY, "1", "chat", "1", Meter())
    assert verify(registry.layout, digest).holds


def test_a_layouts_tag_of_other_content_is_moved_only_when_told(
    client: RegistryClient, remote: FakeRegistry, tmp_path: Path
) -> None:
    """What `python -m model_registry push` does, and an image's layout likewise."""
    made = []
    for content in (b"one", b"two"):
        (tmp_path / "model.weights").write_bytes(content)
        layout = OciLayout.create(tmp_path / content.decode())
        digest = pack(tmp_path / "model.weights", layout, "tiny")
        layout.tag(digest, "live")
        made.append((layout.path, digest))
    (first, one), (second, two) = made
    assert push_layout(first, client, REPOSITORY) == one
    assert push_layout(first, client, REPOSITORY) == one, "the same again is no change"
    before = dict(remote.manifests), dict(remote.blobs)
    with pytest.raises(RegistryRefused, match="TAG_TAKEN"):
        push_layout(second, client, REPOSITORY)
    assert (remote.manifests, remote.blobs) == before
    assert push_layout(second, client, REPOSITORY, move_tags=True) == two
    assert digests.of_bytes(client.manifest_bytes(REPOSITORY, "live")) == two
