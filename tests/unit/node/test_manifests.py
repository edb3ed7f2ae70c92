"""A manifest or a document of an odd form is refused by a code, never by the parser's error."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from permafrost.node import fingerprint, referring, signatures
from permafrost.node.documents import json_object
from permafrost.node.errors import NodeError
from permafrost.node.manifests import config_of, files_of
from tests.unit.node.conftest import FILES, manifest_of, sha256

PAGE = b"<!DOCTYPE html><html><body>Sign in</body></html>"
NO_OBJECTS = {
    "a page": PAGE,
    "nothing": b"",
    "cut off": b'{"layers": [',
    "no text": b"\xff\xfe\x00",
    "a list": b"[]",
    "a number": b"1",
    "nesting": b"[" * 100_000,
}


@pytest.mark.parametrize("content", NO_OBJECTS.values(), ids=NO_OBJECTS)
def test_what_is_no_object_is_one_error(content: bytes) -> None:
    with pytest.raises(NodeError, match=r"^SOME_CODE: the answer is ") as caught:
        json_object(content, "SOME_CODE", "the answer", "look")
    assert caught.value.hint == "look"
    assert ("page of HTML" in caught.value.message) == (content == PAGE)
    with pytest.raises(NodeError, match="REGISTRY_ANSWER_INVALID"):
        referring.listed(content, "the index")
    assert referring.first_layer(content) == ""
    pinned = sha256(b"")
    with pytest.raises(NodeError, match="FINGERPRINT_INVALID"):
        fingerprint.choose([content], pinned, {})
    with pytest.raises(NodeError, match="FINGERPRINT_INVALID"):
        fingerprint.parse(content, pinned, "here")
    assert signatures.signer_of(b"signed", [content], {"release": "no key"}) == ""


Edit = Callable[[dict[str, Any]], object]
ODD: dict[str, tuple[Edit, str]] = {
    "no layers": (lambda m: m.pop("layers"), "NOT_A_CHECKPOINT"),
    "layers of none": (lambda m: m.update(layers=[]), "NOT_A_CHECKPOINT"),
    "layers that are text": (lambda m: m.update(layers="abc"), "NOT_A_CHECKPOINT"),
    "a layer that is a number": (lambda m: m.update(layers=[1]), "NOT_A_CHECKPOINT"),
    "no annotations": (lambda m: m["layers"][0].pop("annotations"), "NOT_A_CHECKPOINT"),
    "annotations as a list": (
        lambda m: m["layers"][0].update(annotations=[]),
        "NOT_A_CHECKPOINT",
    ),
    "no digest": (lambda m: m["layers"][0].pop("digest"), "NOT_A_CHECKPOINT"),
    "a short digest": (lambda m: m["layers"][0].update(digest="sha256:1"), "DIGEST_INVALID"),
    "no size": (lambda m: m["layers"][0].pop("size"), "NOT_A_CHECKPOINT"),
    "a size below nothing": (lambda m: m["layers"][0].update(size=-1), "NOT_A_CHECKPOINT"),
    "a size in words": (lambda m: m["layers"][0].update(size="12"), "NOT_A_CHECKPOINT"),
    "a name that is no text": (
        lambda m: m["layers"][0]["annotations"].update({"org.cncf.model.filepath": "\ud800"}),
        "PATH_UNSAFE",
    ),
    "another kind": (lambda m: m.update(artifactType="image"), "NOT_A_CHECKPOINT"),
}


@pytest.mark.parametrize("name", ODD)
def test_a_manifest_of_an_odd_form_is_refused(name: str) -> None:
    edit, code = ODD[name]
    manifest = json.loads(manifest_of(FILES))
    edit(manifest)
    with pytest.raises(NodeError) as caught:
        files_of(manifest)
    assert caught.value.code == code


def test_a_config_is_named_by_its_digest() -> None:
    assert config_of({}) is None
    assert config_of({"config": {"digest": "sha256:0"}}) == "sha256:0"
    for odd in ("text", {}, {"digest": 1}):
        with pytest.raises(NodeError, match="NOT_A_CHECKPOINT"):
            config_of({"config": odd})
