"""Manifests of anybody's: each odd shape is one clear error, by import and by pull; none stays."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_registry.bundle import import_bundle
from model_registry.client import RegistryClient
from model_registry.digests import of_bytes
from model_registry.errors import RegistryError
from model_registry.exchange import pull_version
from model_registry.media_types import FILEPATH, IMAGE_MANIFEST, MODEL, REF_NAME, SIGNATURE, WEIGHT
from model_registry.meter import Meter
from model_registry.registry import Registry
from model_registry.signatures import sign
from tests.contract.registry.fake import PASSWORD, USER, FakeRegistry
from tests.unit.model_registry.keys import keys

WEIGHTS, CONFIG = b"weights!", b'{"descriptor":{"name":"a"},"config":{}}'
Change = Callable[[dict[str, Any]], Any]


def described(content: bytes, **more: Any) -> dict[str, Any]:
    return {"digest": of_bytes(content), "size": len(content), **more}


def manifest() -> dict[str, Any]:
    layer = described(WEIGHTS, mediaType=WEIGHT, annotations={FILEPATH: "model.weights"})
    return {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "artifactType": MODEL,
        "config": described(CONFIG, mediaType="c"),
        "layers": [layer],
        "annotations": {},
    }


def layer(change: Change) -> Change:
    return lambda m: change(m["layers"][0])


def twice(path: str) -> Change:
    again = described(WEIGHTS, mediaType=WEIGHT, annotations={FILEPATH: path})
    return lambda m: m["layers"].append(again)


SHAPES: dict[str, tuple[Change, str]] = {
    "no config": (lambda m: m.pop("config"), "MANIFEST_INVALID"),
    "a config of text": (lambda m: m.update(config="x"), "MANIFEST_INVALID"),
    "no layers": (lambda m: m.pop("layers"), "MANIFEST_INVALID"),
    "layers by name": (lambda m: m.update(layers={}), "MANIFEST_INVALID"),
    "a layer of text": (lambda m: m.update(layers=["x"]), "MANIFEST_INVALID"),
    "no digest": (layer(lambda one: one.pop("digest")), "MANIFEST_INVALID"),
    "a digest that is a path": (layer(lambda one: one.update(digest="../x")), "MANIFEST_INVALID"),
    "no size": (layer(lambda one: one.pop("size")), "MANIFEST_INVALID"),
    "a size of text": (layer(lambda one: one.update(size="8")), "MANIFEST_INVALID"),
    "a size below zero": (layer(lambda one: one.update(size=-1)), "MANIFEST_INVALID"),
    "another size": (layer(lambda one: one.update(size=9)), "MANIFEST_INVALID"),
    "no path": (layer(lambda one: one.pop("annotations")), "PATH_UNSAFE"),
    "a path of a number": (
        layer(lambda one: one.update(annotations={FILEPATH: 7})), "PATH_UNSAFE",
    ),
    "a path that leaves": (
        layer(lambda one: one.update(annotations={FILEPATH: "../x"})), "PATH_UNSAFE",
    ),
    "one file twice": (twice("model.weights"), "MANIFEST_INVALID"),
    "a file in a file": (twice("model.weights/x"), "MANIFEST_INVALID"),
    "a lineage that is none": (
        lambda m: m.update(annotations={"vnd.permafrost.lineage": "{"}), "LINEAGE_INVALID",
    ),
    "another kind": (lambda m: m.update(artifactType="x"), "NOT_A_CHECKPOINT"),
}  # fmt: skip


def bundle(at: Path, content: bytes, *entries: Any, blobs: tuple[bytes, ...] = ()) -> Path:
    index = {"manifests": [{**described(content), "annotations": {REF_NAME: "a:1"}}, *entries]}
    with tarfile.open(at, "w") as archive:
        for name, held in (
            ("index.json", json.dumps(index).encode()),
            *((f"blobs/sha256/{of_bytes(b)[7:]}", b) for b in (content, WEIGHTS, CONFIG, *blobs)),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(held)
            archive.addfile(member, io.BytesIO(held))
    return at


def pulled(registry: Registry, content: bytes) -> None:
    remote = FakeRegistry()
    remote.blobs = {of_bytes(b): b for b in (WEIGHTS, CONFIG)}
    remote.manifests["a", "1"] = remote.manifests["a", of_bytes(content)] = ("m", content)
    with RegistryClient(
        "oci://registry.test", username=USER, password=PASSWORD, transport=remote.transport(),
        pause=lambda _: None,
    ) as client:  # fmt: skip
        pull_version(registry, client, "a", "1", "a", "1", Meter())


def nothing_stays(registry: Registry) -> bool:
    return (registry.catalogue.events(), registry.catalogue.versions()) == ((), ())


def test_the_control(registry: Registry, tmp_path: Path) -> None:
    content = json.dumps(manifest()).encode()
    (added,) = import_bundle(registry, bundle(tmp_path / "b.tar", content))
    pulled(registry, content)
    assert registry.resolve("a:1").digest == added.digest == of_bytes(content)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_odd_shape_is_one_error(registry: Registry, tmp_path: Path, shape: str) -> None:
    change, code = SHAPES[shape]
    document = manifest()
    change(document)
    content = json.dumps(document).encode()
    for work in (
        lambda: import_bundle(registry, bundle(tmp_path / "b.tar", content)),
        lambda: pulled(registry, content),
    ):
        with pytest.raises(RegistryError) as caught:
            work()
        assert caught.value.code == code
        assert nothing_stays(registry)


@pytest.mark.parametrize("content", [b"[]", b"no JSON", b"[" * 100_000, b"7"])
def test_what_is_no_manifest_at_all(registry: Registry, content: bytes) -> None:
    with pytest.raises(RegistryError, match="NOT_A_CHECKPOINT"):
        pulled(registry, content)
    assert nothing_stays(registry)


@pytest.mark.parametrize(
    "entry", ["x", None, {}, {"digest": 7}, {"digest": "../x"}, {"digest": "sha256:0"}]
)
def test_an_index_that_names_nothing_is_broken(
    registry: Registry, tmp_path: Path, entry: Any
) -> None:
    content = json.dumps(manifest()).encode()
    with pytest.raises(RegistryError, match="BUNDLE_BROKEN"):
        import_bundle(registry, bundle(tmp_path / "b.tar", content, entry))
    assert nothing_stays(registry)


@pytest.mark.parametrize("subject", ["x", None, {"digest": 7}, {}, []])
def test_what_refers_to_nothing_is_not_taken_in(
    registry: Registry, tmp_path: Path, subject: Any
) -> None:
    """It would stand in the way of whoever looks for signatures."""
    content = json.dumps(manifest()).encode()
    odd = {"artifactType": SIGNATURE, "config": described(CONFIG), "layers": []}
    odd_content = json.dumps({**odd, "subject": subject}).encode()
    path = bundle(tmp_path / "b.tar", content, described(odd_content), blobs=(odd_content,))
    with pytest.raises(RegistryError, match="NOT_A_CHECKPOINT"):
        import_bundle(registry, path)
    import_bundle(registry, bundle(path, content))
    registry.layout.add_manifest_bytes(odd_content)  # by a tool of somebody else's
    assert sign(registry, registry.resolve("a:1"), keys(tmp_path, "release")[0]).is_new
