"""One suite for every registry: what was pushed is what is found, by its digest alone."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model_registry import blobs, digests
from model_registry.checkpoint import files_of, pack
from model_registry.client import RegistryClient
from model_registry.errors import RegistryError
from model_registry.fingerprint.referrers import attach, find_fingerprint, find_in_layout
from model_registry.layout import OciLayout
from model_registry.manifests import blobs_of
from model_registry.media_types import SIGNATURE
from model_registry.referring import attach as attach_bytes
from model_registry.referring import attached_in_registry
from model_registry.transfer import pull, push_layout
from model_registry.verify import verify
from tests.contract.registry.conftest import NewClient

_number = itertools.count()


@pytest.fixture
def client(new_client: NewClient) -> Iterator[RegistryClient]:
    with new_client() as made:
        yield made


@pytest.fixture
def repository() -> str:
    return f"checkpoints/tiny-{next(_number)}"


@pytest.fixture
def layout(tmp_path: Path, files: Path) -> tuple[OciLayout, str]:
    made = OciLayout.create(tmp_path / "oci")
    return made, pack(files, made, "tiny")


def fingerprint(checkpoint: str, version: str = "1") -> dict[str, object]:
    return {
        "schema": 1,
        "checkpoint": checkpoint,
        "engine": {"name": "test", "version": version},
        "probes": [],
    }


def test_a_pushed_checkpoint_is_pulled_with_the_same_id_and_bytes(
    client: RegistryClient, repository: str, layout: tuple[OciLayout, str], tmp_path: Path
) -> None:
    store, checkpoint = layout
    assert push_layout(store.path, client, repository) == checkpoint
    other = OciLayout.create(tmp_path / "pulled")
    assert pull(client, repository, checkpoint, other) == checkpoint
    assert other.read(checkpoint) == store.read(checkpoint)
    assert verify(other, checkpoint).holds


def test_pushing_again_sends_no_blob(
    client: RegistryClient, repository: str, layout: tuple[OciLayout, str]
) -> None:
    store, checkpoint = layout
    push_layout(store.path, client, repository)
    for file in files_of(store.read_json(checkpoint)):
        assert client.has_blob(repository, file.digest)
        with store.blob_path(file.digest).open("rb") as source:
            assert not client.upload(repository, file.digest, source, file.size)


def test_the_newest_fingerprint_is_found_by_the_checkpoint_it_refers_to(
    client: RegistryClient, repository: str, layout: tuple[OciLayout, str]
) -> None:
    store, checkpoint = layout
    attach(store, checkpoint, fingerprint(checkpoint, "1"))
    push_layout(store.path, client, repository)
    assert find_fingerprint(client, repository, checkpoint)["engine"]["version"] == "1"
    attach(store, checkpoint, fingerprint(checkpoint, "2"))
    assert push_layout(store.path, client, repository) == checkpoint
    assert push_layout(store.path, client, repository) == checkpoint
    assert find_fingerprint(client, repository, checkpoint)["engine"]["version"] == "2"
    assert find_in_layout(store, checkpoint)["engine"]["version"] == "2"
    assert len(client.referrers(repository, checkpoint)) == 2


def test_pull_brings_the_fingerprint_too(
    client: RegistryClient, repository: str, layout: tuple[OciLayout, str], tmp_path: Path
) -> None:
    store, checkpoint = layout
    attach(store, checkpoint, fingerprint(checkpoint))
    push_layout(store.path, client, repository)
    other = OciLayout.create(tmp_path / "pulled")
    pull(client, repository, checkpoint, other)
    assert find_in_layout(other, checkpoint) == fingerprint(checkpoint)


def test_many_that_attach_at_once_are_all_found(
    new_client: NewClient, repository: str, layout: tuple[OciLayout, str]
) -> None:
    store, checkpoint = layout
    with new_client() as client:
        push_layout(store.path, client, repository)
    made = [
        attach_bytes(store, checkpoint, SIGNATURE, f"signature {n}".encode(), "model.sig")
        for n in range(8)
    ]

    def push(digest: str) -> None:
        with new_client() as own:
            push_blobs(store, own, repository, digest)
            own.put_manifest(repository, store.read(digest))

    with ThreadPoolExecutor(len(made)) as pool:
        list(pool.map(push, made))
    with new_client() as client:
        found = client.referrers(repository, checkpoint)
        assert sorted(r["digest"] for r in found) == sorted(made)
        attached = attached_in_registry(client, repository, checkpoint, SIGNATURE)
        assert set(attached.values()) == {f"signature {n}".encode() for n in range(8)}
        tag = checkpoint.replace(":", "-")
        if client.has_manifest(repository, tag):  # what public tools read
            assert len(client.manifest(repository, tag)["manifests"]) == len(made)


def push_blobs(store: OciLayout, client: RegistryClient, repository: str, digest: str) -> None:
    for blob in blobs_of(store.read_json(digest)):
        with store.blob_path(blob).open("rb") as file:
            client.upload(repository, blob, file, store.size(blob))


def test_a_checkpoint_without_fingerprint_says_so(
    client: RegistryClient, repository: str, layout: tuple[OciLayout, str]
) -> None:
    store, checkpoint = layout
    push_layout(store.path, client, repository)
    with pytest.raises(RegistryError) as caught:
        find_fingerprint(client, repository, checkpoint)
    assert caught.value.code == "FINGERPRINT_MISSING"


def test_a_blob_in_several_chunks_arrives_whole(
    client: RegistryClient, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "CHUNK", 1 << 20)
    content = bytes(range(256)) * (2 << 12) + b"and a little more"
    digest = digests.of_bytes(content)
    assert client.upload(repository, digest, io.BytesIO(content), len(content))
    target = io.BytesIO()
    assert client.download(repository, digest, target) == len(content)
    assert target.getvalue() == content


def test_tags_name_manifests(
    client: RegistryClient, repository: str, layout: tuple[OciLayout, str]
) -> None:
    store, checkpoint = layout
    push_layout(store.path, client, repository)
    client.put_manifest(repository, store.read(checkpoint), "candidate")
    assert client.manifest_bytes(repository, "candidate") == store.read(checkpoint)
    assert not client.has_manifest(repository, "production")


def test_what_is_not_there_is_not_found(client: RegistryClient, repository: str) -> None:
    absent = digests.of_bytes(b"nobody pushed this")
    assert not client.has_blob(repository, absent)
    for ask in (client.manifest_bytes, client.blob):
        with pytest.raises(RegistryError) as caught:
            ask(repository, absent)
        assert caught.value.code == "REGISTRY_NOT_FOUND"


def test_bytes_under_a_foreign_digest_are_refused(client: RegistryClient, repository: str) -> None:
    with pytest.raises(RegistryError) as caught:
        client.upload(repository, digests.of_bytes(b"promised"), io.BytesIO(b"given"), 5)
    assert caught.value.code == "REGISTRY_FAILED"


def test_a_wrong_password_is_denied(new_client: NewClient) -> None:
    with new_client(password="guess") as stranger, pytest.raises(RegistryError) as caught:
        stranger.ping()
    assert caught.value.code == "REGISTRY_DENIED"
    with new_client() as known:
        known.ping()
