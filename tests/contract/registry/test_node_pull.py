"""The node's own reader against the real server: resumes after a cut, refuses a strange CA."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path

import pytest

from model_registry.checkpoint import files_of, pack
from model_registry.client import RegistryClient
from model_registry.fingerprint.baselines import sign
from model_registry.fingerprint.referrers import attach, found_in_registry
from model_registry.layout import OciLayout
from model_registry.transfer import push_layout
from permafrost.node.errors import NodeError
from permafrost.node.pull import pull
from permafrost.node.registry import RegistryReader
from permafrost.node.settings import Registry
from permafrost.node.store import ModelStore, remove_tree
from tests.contract.registry.fake import PASSWORD, USER
from tests.contract.registry.server import Server
from tests.unit.model_registry.keys import keys

REPOSITORY = "checkpoints/for-a-node"


@pytest.fixture
def checkpoint(server: Server, files: Path, tmp_path: Path) -> str:
    layout = OciLayout.create(tmp_path / "oci")
    made = pack(files, layout, "tiny")
    attach(layout, made, {"schema": 1, "checkpoint": made, "probes": []})
    with RegistryClient(
        f"oci://{server.address}", username=USER, password=PASSWORD, ca_file=server.ca_file
    ) as client:
        push_layout(layout.path, client, REPOSITORY)
    return made


@pytest.fixture
def settings(server: Server, tmp_path: Path) -> Registry:
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    return Registry(f"https://{server.address}", REPOSITORY, USER, password, server.ca_file)


class CutResponse:
    """Ends after some bytes, as a connection that was cut does."""

    def __init__(self, response: http.client.HTTPResponse, bytes_left: int) -> None:
        self._response = response
        self._left = bytes_left
        self.status = response.status
        self.headers = response.headers

    def read(self, amount: int) -> bytes:
        content = self._response.read(min(amount, self._left))
        self._left -= len(content)
        return content


class CuttingConnection(http.client.HTTPSConnection):
    """Cuts the first answers to blob requests and notes each Range that was asked for."""

    cuts: list[int]
    ranges: list[str]

    def request(self, method: str, url: str, body=None, headers=None, **rest):  # type: ignore[no-untyped-def,override]
        self._is_blob = "/blobs/" in url
        if self._is_blob:
            self.ranges.append((headers or {}).get("Range", ""))
        super().request(method, url, body, headers or {}, **rest)

    def getresponse(self):  # type: ignore[no-untyped-def,override]
        response = super().getresponse()
        if self._is_blob and self.cuts:
            return CutResponse(response, self.cuts.pop(0))
        return response


def test_a_node_has_tree_and_fingerprint_and_the_second_pull_changes_nothing(
    checkpoint: str, settings: Registry, tmp_path: Path
) -> None:
    store = ModelStore(tmp_path / "models")
    recorded = tmp_path / "fingerprint.json"
    assert pull(checkpoint, store, RegistryReader(settings), recorded, dict)["changed"]
    assert {f.path for f in store.verify(checkpoint)} == {
        "README.md",
        "model.weights",
        "tokenizer/vocab.json",
    }
    assert checkpoint in recorded.read_text()
    again = pull(checkpoint, store, RegistryReader(settings), recorded, dict)
    assert (again["changed"], again["fetched_bytes"]) == (False, 0)


def test_an_unsigned_baseline_is_not_believed_and_a_signed_one_is(
    server: Server, checkpoint: str, settings: Registry, tmp_path: Path
) -> None:
    """Signed in the registry by the site's own code, checked by the node's."""
    key, trusted = keys(tmp_path, "release")
    signers = {"release": trusted.anchor.read_text()}
    store, recorded = ModelStore(tmp_path / "models"), tmp_path / "fingerprint.json"
    reader = RegistryReader(settings)
    with pytest.raises(NodeError, match="FINGERPRINT_UNSIGNED"):
        pull(checkpoint, store, reader, recorded, dict, signers)
    assert not recorded.exists()
    with RegistryClient(
        f"oci://{server.address}", username=USER, password=PASSWORD, ca_file=server.ca_file
    ) as client:
        (found,) = found_in_registry(client, REPOSITORY, checkpoint)
        sign(client, REPOSITORY, found, key)
    assert pull(checkpoint, store, reader, recorded, dict, signers)["changed"]
    assert recorded.read_bytes() == found.content
    assert not pull(checkpoint, store, reader, recorded, dict, signers)["changed"]


def test_a_download_goes_on_where_it_was_cut(
    server: Server, checkpoint: str, settings: Registry, files: Path, tmp_path: Path
) -> None:
    context = ssl.create_default_context(cafile=str(server.ca_file))
    seen = type("Cut", (CuttingConnection,), {"cuts": [], "ranges": []})
    reader = RegistryReader(settings, lambda netloc: seen(netloc, timeout=10, context=context))
    store = ModelStore(tmp_path / "models")
    store.create()
    manifest = reader.manifest(checkpoint)
    store.keep_bytes(manifest, checkpoint)
    (weights,) = (f for f in files_of(store.manifest(checkpoint)) if f.path == "model.weights")
    seen.cuts, seen.ranges = [1_000_000, 2_000_000], []
    part = tmp_path / "part"
    reader.download(weights.digest, weights.size, part)
    assert seen.ranges == ["", "bytes=1000000-", "bytes=3000000-"]
    assert part.read_bytes() == (files / "model.weights").read_bytes()


def test_bytes_left_by_an_interrupted_pull_are_used_and_verified(
    checkpoint: str, settings: Registry, files: Path, tmp_path: Path
) -> None:
    store = ModelStore(tmp_path / "models")
    store.create()
    weights = (files / "model.weights").read_bytes()
    (file,) = (
        f
        for f in files_of(OciLayout(tmp_path / "oci").read_json(checkpoint))
        if f.path == "model.weights"
    )
    part = store.blobs / f".{file.digest.removeprefix('sha256:')}.part"
    reader = RegistryReader(settings)
    for beginning in (weights[:5_000_000], b"x" * 1000, b"x" * file.size, weights + b"more"):
        part.write_bytes(beginning)
        pull(checkpoint, store, reader, tmp_path / "fingerprint.json", dict)
        assert store.verify(checkpoint)
        remove_tree(store.tree(checkpoint))
        store.blob(file.digest).unlink()


def test_a_registry_of_another_authority_is_not_trusted(
    checkpoint: str, settings: Registry, tmp_path: Path
) -> None:
    stranger = Registry(
        settings.url,
        settings.repository,
        settings.username,
        settings.password_file,
        Path(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"),
    )
    with pytest.raises(NodeError) as caught:
        RegistryReader(stranger).manifest(checkpoint)
    assert caught.value.code == "REGISTRY_UNREACHABLE"


def test_a_wrong_password_is_denied(checkpoint: str, settings: Registry, tmp_path: Path) -> None:
    settings.password_file.write_text("guess")
    with pytest.raises(NodeError) as caught:
        RegistryReader(settings).manifest(checkpoint)
    assert caught.value.code == "REGISTRY_DENIED"
