"""OpenSSF model signatures, made and checked offline with keys or certificates.

A signature of a checkpoint covers the path and SHA-256 of every file, as ``model_signing`` itself
writes it, and names the checkpoint's digest as its subject: so it holds for one manifest, with its
lineage, and anybody who has the files can check it with the public tool alone. Files are not read
here: the caller vouches that the bytes are those of the digests.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization

from model_registry.checkpoint import CheckpointFile
from model_registry.errors import RegistryError, RegistryRefused

if TYPE_CHECKING:  # the library takes a second to import: only who signs or checks waits for it
    from model_signing.hashing import Config as HashingConfig
    from model_signing.signing import Config as SigningConfig
    from model_signing.verifying import Config as VerifyingConfig

_FILES = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key (PEM, elliptic curve), alone or with its certificate and what issued that."""

    key: Path
    password: str | None = None
    certificate: Path | None = None
    chain: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Trusted:
    """Whose signatures count: a public key, or the certificates of an authority (PEM)."""

    name: str
    anchor: Path


def sign_checkpoint(checkpoint: str, files: Sequence[CheckpointFile], key: SigningKey) -> bytes:
    """Return the signature (a Sigstore bundle) of a checkpoint whose files are whole."""
    return _sign(_signer(key).set_hashing_config(_known(checkpoint, files)), Path(checkpoint))


def check_checkpoint(
    signature: bytes, checkpoint: str, files: Sequence[CheckpointFile], trusted: Trusted
) -> None:
    """Raise SIGNATURE_INVALID unless somebody trusted signed exactly this checkpoint."""
    verifier = _verifier(trusted).set_hashing_config(_known(checkpoint, files))
    _check(verifier, Path(checkpoint), signature, trusted)
    if (subject := _subject(signature)) != checkpoint:
        raise _invalid(f"it is of {subject}, which holds the same files")


def sign_file(path: Path, key: SigningKey) -> bytes:
    """Return the signature of one file's bytes."""
    return _sign(_signer(key), path)


def check_file(signature: bytes, path: Path, trusted: Trusted) -> None:
    """Raise SIGNATURE_INVALID unless somebody trusted signed exactly these bytes."""
    _check(_verifier(trusted), path, signature, trusted)


def is_signed_with(
    signature: bytes, checkpoint: str, files: Sequence[CheckpointFile], key: SigningKey
) -> bool:
    """Whether a signature of exactly this checkpoint is by this key (without certificate)."""
    if key.certificate is not None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        anchor = Path(folder) / "public.pem"
        anchor.write_bytes(_public_half(key))
        try:
            check_checkpoint(signature, checkpoint, files, Trusted("the key", anchor))
        except RegistryError:
            return False
    return True


def _public_half(key: SigningKey) -> bytes:
    password = key.password.encode() if key.password else None
    private = serialization.load_pem_private_key(key.key.read_bytes(), password)
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _subject(signature: bytes) -> str:
    statement = json.loads(base64.b64decode(json.loads(signature)["dsseEnvelope"]["payload"]))
    return str(statement["subject"][0]["name"])


def _known(checkpoint: str, files: Sequence[CheckpointFile]) -> HashingConfig:
    from model_signing import hashing, manifest
    from model_signing._hashing.hashing import Digest

    kind = manifest.SerializationType.from_args(_FILES)
    items = [
        kind.new_item(f.path, Digest("sha256", bytes.fromhex(f.digest.partition(":")[2])))
        for f in files
    ]

    class Known(hashing.Config):
        """What the files hash to is known: they lie under their digests."""

        def hash(self, *_: Any, **__: Any) -> manifest.Manifest:
            return manifest.Manifest(checkpoint, items, kind)

    return Known()  # type: ignore[no-untyped-call]


def _signer(key: SigningKey) -> SigningConfig:
    from model_signing.signing import Config

    try:
        if key.certificate is None:
            return Config().use_elliptic_key_signer(  # type: ignore[no-untyped-call]
                private_key=key.key,
                password=key.password.encode() if key.password else None,  # type: ignore[arg-type]
            )
        return Config().use_certificate_signer(  # type: ignore[no-untyped-call]
            private_key=key.key,
            signing_certificate=key.certificate,
            certificate_chain=key.chain,
        )
    except (OSError, ValueError, TypeError) as error:
        raise RegistryRefused(
            "SIGNING_KEY_INVALID",
            f"cannot sign with {key.key}: {error}",
            "a PEM file with an elliptic-curve key; with a certificate, the one of that key",
        ) from error


def _verifier(trusted: Trusted) -> VerifyingConfig:
    from model_signing.verifying import Config

    config = Config()  # type: ignore[no-untyped-call]
    try:
        if b"BEGIN CERTIFICATE" in trusted.anchor.read_bytes():
            return config.use_certificate_verifier(certificate_chain=[trusted.anchor])
        return config.use_elliptic_key_verifier(public_key=trusted.anchor)
    except (OSError, ValueError, TypeError) as error:
        raise RegistryRefused(
            "SIGNER_INVALID",
            f"{trusted.name}: {trusted.anchor} is no public key and no certificate: {error}",
            "a PEM file with an elliptic-curve public key, or an authority's certificates",
        ) from error


def _sign(config: SigningConfig, what: Path) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "signature"
        config.sign(what, target)
        return target.read_bytes()


def _check(verifier: VerifyingConfig, what: Path, signature: bytes, trusted: Trusted) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "signature"
        source.write_bytes(signature)
        try:
            verifier.verify(what, source)
        except Exception as error:  # bytes of anybody: the library raises what its parsers raise
            said = str(error).partition("\n")[0] or type(error).__name__
            raise _invalid(f"not one of {trusted.name}: {said}") from error


def _invalid(why: str) -> RegistryError:
    return RegistryError(
        "SIGNATURE_INVALID",
        why,
        "do not use it: ask its signer, and compare the digest with theirs",
    )
