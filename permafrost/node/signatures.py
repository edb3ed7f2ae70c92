"""Whether somebody trusted signed exactly these bytes, with the standard library and `openssl`.

The form is that of OpenSSF model-signing: a Sigstore bundle with a DSSE envelope (its
pre-authentication encoding is what is signed) around an in-toto statement that names the file's
SHA-256. Keys are elliptic: P-256, P-384 or P-521, each with its own hash. A trust anchor is a
public key, or an authority's certificates; of those, as in the library, the time of the signing
certificate's own beginning counts.
"""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import NodeError

OPENSSL = "openssl"
_RUN_S = 10.0
_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_LONE_FILE = "."
"""The name that a file has which was signed by itself, and not as part of a folder."""
_HASH_OF_CURVE = {
    bytes.fromhex("06082a8648ce3d030107"): "sha256",
    bytes.fromhex("06052b81040022"): "sha384",
    bytes.fromhex("06052b81040023"): "sha512",
}
"""By the curve's object identifier in DER, as it stands in a public key (RFC 5480)."""
_LONGEST_HEAD = 32
"""Within so many bytes of a public key its curve is named."""


class _NotSignedError(Exception):
    """This is not a signature of these bytes by that signer."""


def signer_of(content: bytes, bundles: Sequence[bytes], signers: Mapping[str, str]) -> str:
    """Return the name of a signer (name → PEM) whose signature of ``content`` is there.

    Empty where none holds. Raises NodeError (SIGNATURE_UNCHECKED) where nothing can be checked.
    """
    for name, anchor in sorted(signers.items()):
        if any(not reason_against(content, bundle, anchor) for bundle in bundles):
            return name
    return ""


def reason_against(content: bytes, bundle: bytes, anchor: str) -> str:
    """Return why a signature does not hold for a trust anchor (PEM), empty where it does."""
    try:
        document = json.loads(bundle)
        signed, signature = _envelope(document)
        _require_statement(json.loads(signed), content)
        with tempfile.TemporaryDirectory() as folder:
            _require_signed(document, signed, signature, anchor, Path(folder))
    except _NotSignedError as error:
        return str(error)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        return f"it is no signature: {type(error).__name__}"
    return ""


def _envelope(document: Any) -> tuple[bytes, bytes]:
    """Return what was signed, and the signature."""
    if document["mediaType"] != _BUNDLE:
        raise _NotSignedError(f"it is a {document['mediaType']!r}")
    envelope = document["dsseEnvelope"]
    if envelope["payloadType"] != _PAYLOAD:
        raise _NotSignedError(f"it is of a {envelope['payloadType']!r}")
    (only,) = envelope["signatures"]
    return _bytes(envelope["payload"]), _bytes(only["sig"])


def _require_statement(statement: Any, content: bytes) -> None:
    """The statement names these bytes, alone, and its parts agree with one another."""
    if (statement["_type"], statement["predicateType"]) != (_STATEMENT, _PREDICATE):
        raise _NotSignedError("it states something else")
    digest = hashlib.sha256(content)
    (subject,) = statement["subject"]
    (resource,) = statement["predicate"]["resources"]
    named = (resource["name"], resource["algorithm"], resource["digest"])
    if named != (_LONE_FILE, "sha256", digest.hexdigest()):
        raise _NotSignedError("it is of other bytes")
    if subject["digest"] != {"sha256": hashlib.sha256(digest.digest()).hexdigest()}:
        raise _NotSignedError("its parts contradict one another")


def _require_signed(
    document: Any, signed: bytes, signature: bytes, anchor: str, folder: Path
) -> None:
    trusted = folder / "anchor.pem"
    trusted.write_text(anchor, encoding="utf-8")
    key = folder / "key.pem"
    if "BEGIN CERTIFICATE" in anchor:
        chain = document["verificationMaterial"]["x509CertificateChain"]["certificates"]
        certificates = [_bytes(one["rawBytes"]) for one in chain]
        key.write_bytes(_certified_key(certificates, trusted, folder))
    else:
        key.write_text(anchor, encoding="utf-8")
    (folder / "signature").write_bytes(signature)
    encoded = b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD), _PAYLOAD.encode(), len(signed), signed)
    _openssl(
        "dgst", f"-{_hash_of(key)}", "-verify", str(key), "-signature", str(folder / "signature"),
        given=encoded, else_="nobody trusted signed it",
    )  # fmt: skip


def _certified_key(certificates: Sequence[bytes], trusted: Path, folder: Path) -> bytes:
    """Return the public key of a certificate for signing that the authority gave out."""
    leaf, others = folder / "leaf.pem", folder / "others.pem"
    leaf.write_text(ssl.DER_cert_to_PEM_cert(certificates[0]), encoding="ascii")
    others.write_text("".join(map(ssl.DER_cert_to_PEM_cert, certificates[1:])), encoding="ascii")
    unreadable = "its certificate is none"
    begun = _openssl("x509", "-noout", "-startdate", "-in", str(leaf), else_=unreadable)
    at = ssl.cert_time_to_seconds(begun.decode().strip().partition("=")[2])
    untrusted = ["-untrusted", str(others)] if certificates[1:] else []
    _openssl(
        "verify", "-CAfile", str(trusted), "-no-CApath", "-no-CAstore", *untrusted,
        "-attime", str(at), str(leaf), else_="no trusted authority gave out its certificate",
    )  # fmt: skip
    uses = _openssl(
        "x509", "-noout", "-ext", "keyUsage,extendedKeyUsage", "-in", str(leaf), else_=unreadable
    )
    if b"Digital Signature" not in uses and b"Code Signing" not in uses:
        raise _NotSignedError("its certificate is not for signing")
    return _openssl("x509", "-noout", "-pubkey", "-in", str(leaf), else_=unreadable)


def _hash_of(key: Path) -> str:
    der = _openssl(
        "pkey", "-pubin", "-pubout", "-outform", "DER", "-in", str(key),
        else_="the signer's key is none",
    )  # fmt: skip
    for curve, name in _HASH_OF_CURVE.items():
        if curve in der[:_LONGEST_HEAD]:
            return name
    raise _NotSignedError("the signer's key is on none of the curves P-256, P-384 and P-521")


def _openssl(*words: str, given: bytes = b"", else_: str) -> bytes:
    try:
        done = subprocess.run(
            [OPENSSL, *words], input=given, capture_output=True, timeout=_RUN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NodeError(
            "SIGNATURE_UNCHECKED", f"openssl cannot be run: {error}", "install openssl"
        ) from error
    if done.returncode != 0:
        raise _NotSignedError(else_)
    return done.stdout


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
