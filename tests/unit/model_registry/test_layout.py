"""A layout on disk: whole blobs only, and an index that names each manifest once."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from model_registry import digests
from model_registry.errors import RegistryError
from model_registry.fingerprint.referrers import attach, find_in_layout
from model_registry.layout import OciLayout

MANIFEST = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}


@pytest.fixture
def layout(tmp_path: Path) -> OciLayout:
    return OciLayout.create(tmp_path / "oci")


def test_a_stream_that_is_not_what_was_wanted_leaves_nothing(layout: OciLayout) -> None:
    wanted = digests.of_bytes(b"wanted")
    with pytest.raises(RegistryError, match="DIGEST_MISMATCH"):
        layout.add_stream(io.BytesIO(b"other"), expected=wanted)
    assert not layout.has(wanted)
    assert list((layout.path / "blobs" / "sha256").iterdir()) == []


def test_bytes_that_changed_on_disk_are_not_returned(layout: OciLayout) -> None:
    digest = layout.add_bytes(b"content")
    assert layout.read(digest) == b"content"
    layout.blob_path(digest).write_bytes(b"c0ntent")
    with pytest.raises(RegistryError, match="BLOB_CHANGED"):
        layout.read(digest)


def test_a_tag_moves_and_a_manifest_stands_once(layout: OciLayout) -> None:
    first = layout.add_manifest({**MANIFEST, "annotations": {"n": "1"}}, tag="live")
    layout.add_manifest({**MANIFEST, "annotations": {"n": "1"}}, tag="live")
    second = layout.add_manifest({**MANIFEST, "annotations": {"n": "2"}}, tag="live")
    assert [(e.digest, e.tag) for e in layout.entries()] == [(second, "live")]
    assert layout.has(first)


def test_opening_an_existing_layout_keeps_it(layout: OciLayout) -> None:
    digest = layout.add_manifest(MANIFEST)
    assert [e.digest for e in OciLayout.create(layout.path).entries()] == [digest]


def test_a_broken_index_is_one_clear_error(layout: OciLayout) -> None:
    (layout.path / "index.json").write_text("{")
    with pytest.raises(RegistryError, match="LAYOUT_INVALID"):
        layout.entries()


def test_a_fingerprint_of_another_checkpoint_is_not_attached(layout: OciLayout) -> None:
    checkpoint = layout.add_manifest(MANIFEST)
    with pytest.raises(RegistryError, match="FINGERPRINT_OF_ANOTHER"):
        attach(layout, checkpoint, {"checkpoint": digests.of_bytes(b"other")})
    with pytest.raises(RegistryError, match="FINGERPRINT_MISSING"):
        find_in_layout(layout, checkpoint)


def test_the_index_is_what_other_tools_read(layout: OciLayout) -> None:
    digest = layout.add_manifest(MANIFEST, tag="live")
    assert json.loads((layout.path / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads((layout.path / "index.json").read_text())["manifests"]
    assert entry["digest"] == digest
    assert entry["size"] == layout.size(digest)
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "live"}


@pytest.mark.parametrize("digest", ["sha256:", "sha256:" + "G" * 64, "md5:" + "0" * 64, "../etc"])
def test_what_is_no_digest_never_becomes_a_path(layout: OciLayout, digest: str) -> None:
    with pytest.raises(RegistryError, match="DIGEST_INVALID"):
        layout.blob_path(digest)
