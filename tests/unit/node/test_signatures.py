"""A node checks signatures itself: what the library signs holds, and nothing else does.

The library (OpenSSF model-signing) makes them, as the site's operator does; the node has the
standard library and openssl.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from model_registry.errors import RegistryError
from model_registry.signing import SigningKey, Trusted, check_file, sign_checkpoint, sign_file
from permafrost.node import signatures
from permafrost.node.errors import NodeError
from permafrost.node.signatures import reason_against, signer_of
from tests.unit.model_registry.keys import certified, keys

CONTENT = b'{"checkpoint":"sha256:...","probes":[]}'
PEM = serialization.Encoding.PEM
PUBLIC = serialization.PublicFormat.SubjectPublicKeyInfo


def signed(folder: Path, key: SigningKey, content: bytes = CONTENT) -> bytes:
    file = folder / "fingerprint.json"
    file.write_bytes(content)
    return sign_file(file, key)


def text(trusted: Trusted) -> str:
    return trusted.anchor.read_text()


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_each_curve_of_the_library_holds(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    private = ec.generate_private_key(curve)
    key = tmp_path / "key"
    key.write_bytes(
        private.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    anchor = private.public_key().public_bytes(PEM, PUBLIC).decode()
    bundle = signed(tmp_path, SigningKey(key))
    assert reason_against(CONTENT, bundle, anchor) == ""
    assert "nobody trusted" in reason_against(CONTENT, bundle, text(keys(tmp_path, "other")[1]))


def test_an_authority_vouches_for_its_certificates(tmp_path: Path) -> None:
    key, authority = certified(tmp_path, "release")
    _, stranger = certified(tmp_path, "stranger")
    bundle = signed(tmp_path, key)
    assert reason_against(CONTENT, bundle, text(authority)) == ""
    assert "no trusted authority" in reason_against(CONTENT, bundle, text(stranger))


def test_a_certificate_of_the_signers_own_making_is_no_authority(tmp_path: Path) -> None:
    """The stranger sends the trusted authority's certificate along, as if it were of it."""
    key, authority = certified(tmp_path, "release")
    stranger, _ = certified(tmp_path, "stranger")
    bundle = signed(tmp_path, SigningKey(stranger.key, None, stranger.certificate, key.chain))
    assert "no trusted authority" in reason_against(CONTENT, bundle, text(authority))


def changed(bundle: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    document = json.loads(bundle)
    change(document)
    return json.dumps(document).encode()


def restated(bundle: bytes, content: bytes) -> bytes:
    """The same signature around a statement of other bytes."""
    document = json.loads(bundle)
    statement = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
    digest = hashlib.sha256(content)
    statement["predicate"]["resources"][0]["digest"] = digest.hexdigest()
    root = hashlib.sha256(digest.digest()).hexdigest()
    statement["subject"][0]["digest"]["sha256"] = root
    payload = base64.b64encode(json.dumps(statement).encode()).decode()
    document["dsseEnvelope"]["payload"] = payload
    return json.dumps(document).encode()


def test_nothing_else_holds(tmp_path: Path) -> None:
    key, trusted = keys(tmp_path, "release")
    bundle, anchor = signed(tmp_path, key), text(trusted)
    assert reason_against(CONTENT, bundle, anchor) == "", "the control"
    assert "other bytes" in reason_against(CONTENT + b" ", bundle, anchor)
    forged = b'{"checkpoint":"sha256:...","probes":[1]}'
    assert "nobody trusted" in reason_against(forged, restated(bundle, forged), anchor)
    for change in (
        lambda d: d["dsseEnvelope"].update(signatures=[]),
        lambda d: d["dsseEnvelope"]["signatures"].append(d["dsseEnvelope"]["signatures"][0]),
        lambda d: d["dsseEnvelope"]["signatures"][0].update(sig="AAAA"),
        lambda d: d["dsseEnvelope"]["signatures"][0].update(sig="no base64"),
        lambda d: d["dsseEnvelope"].update(payloadType="text/plain"),
        lambda d: d["dsseEnvelope"].update(payload=base64.b64encode(b"[]").decode()),
        lambda d: d.update(mediaType="application/json"),
        lambda d: d.pop("dsseEnvelope"),
    ):
        assert reason_against(CONTENT, changed(bundle, change), anchor)
    for nothing in (b"", b"{}", b"[]", b"null", b"\xff\xfe", b"1"):
        assert reason_against(CONTENT, nothing, anchor)


def test_a_signature_of_a_folder_is_none_of_a_file(tmp_path: Path) -> None:
    """Who signed a checkpoint that happens to hold these bytes did not vouch for a baseline."""
    from model_registry.checkpoint import CheckpointFile

    key, trusted = keys(tmp_path, "release")
    digest = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    held = CheckpointFile("fingerprint.json", digest, len(CONTENT), "application/octet-stream")
    bundle = sign_checkpoint("sha256:" + "a" * 64, [held], key)
    assert "other bytes" in reason_against(CONTENT, bundle, text(trusted))


def test_other_kinds_of_keys_are_refused_as_the_library_does(tmp_path: Path) -> None:
    key, _ = keys(tmp_path, "release")
    bundle = signed(tmp_path, key)
    small = ec.generate_private_key(ec.SECP256K1()).public_key().public_bytes(PEM, PUBLIC)
    modular = rsa.generate_private_key(65537, 2048).public_key().public_bytes(PEM, PUBLIC)
    for anchor in (small.decode(), modular.decode()):
        assert "none of the curves" in reason_against(CONTENT, bundle, anchor)
    assert "key is none" in reason_against(CONTENT, bundle, "no PEM at all")


@pytest.mark.parametrize("make", [keys, certified])
def test_node_and_library_agree(
    tmp_path: Path, make: Callable[[Path, str], tuple[SigningKey, Trusted]]
) -> None:
    """Over who signed and who is trusted."""
    made = [make(tmp_path, name) for name in ("one", "two")]
    for key, _ in made:
        bundle = signed(tmp_path, key)
        for _, trusted in made:
            try:
                check_file(bundle, tmp_path / "fingerprint.json", trusted)
            except RegistryError:
                assert reason_against(CONTENT, bundle, text(trusted))
            else:
                assert reason_against(CONTENT, bundle, text(trusted)) == ""


def test_one_signer_of_several_is_enough(tmp_path: Path) -> None:
    (one, first), (_, second) = keys(tmp_path, "one"), keys(tmp_path, "two")
    bundle = signed(tmp_path, one)
    signers = {"second": text(second), "first": text(first)}
    assert signer_of(CONTENT, [b"{}", bundle], signers) == "first"
    assert signer_of(CONTENT, [], signers) == ""
    assert signer_of(CONTENT, [bundle], {"second": text(second)}) == ""
    assert signer_of(CONTENT, [bundle], {}) == ""


def test_where_nothing_can_be_checked_nothing_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, trusted = keys(tmp_path, "release")
    bundle = signed(tmp_path, key)
    monkeypatch.setattr(signatures, "OPENSSL", str(tmp_path / "not-there"))
    with pytest.raises(NodeError, match="SIGNATURE_UNCHECKED"):
        signer_of(CONTENT, [bundle], {"release": text(trusted)})
