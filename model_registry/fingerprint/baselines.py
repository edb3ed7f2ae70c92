"""Signed baselines: a fingerprint decides what a replica may answer, so somebody answers for it.

A signature (OpenSSF model-signing, as for checkpoints) covers the fingerprint's bytes, which name
their checkpoint, and hangs on the fingerprint as an OCI referrer.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable
from pathlib import Path

from model_registry.client import RegistryClient
from model_registry.digests import canonical_json, of_bytes
from model_registry.errors import RegistryError, RegistryRefused
from model_registry.fingerprint.referrers import Found
from model_registry.media_types import SIGNATURE
from model_registry.referring import EMPTY, artifact, attached_in_registry
from model_registry.signing import SigningKey, Trusted, check_file, sign_file

_NAME = "fingerprint.json"


def sign(client: RegistryClient, repository: str, found: Found, key: SigningKey) -> str:
    """Sign a fingerprint that a registry holds; returns the digest of what was attached."""
    with tempfile.TemporaryDirectory() as folder:
        signature = sign_file(_written(folder, found), key)
    size = len(client.manifest_bytes(repository, found.artifact))
    for blob in (EMPTY, signature):
        client.upload(repository, of_bytes(blob), io.BytesIO(blob), len(blob))
    manifest = artifact(found.artifact, size, SIGNATURE, signature, "fingerprint.sig")
    return client.put_manifest(repository, canonical_json(manifest))


def signed_by(
    client: RegistryClient, repository: str, found: Found, signers: Iterable[Trusted]
) -> tuple[str, ...]:
    """Return which signers' signatures of a fingerprint hold."""
    signatures = attached_in_registry(client, repository, found.artifact, SIGNATURE)
    names = []
    with tempfile.TemporaryDirectory() as folder:
        file = _written(folder, found)
        for trusted in signers:
            if any(_holds(signature, file, trusted) for signature in signatures.values()):
                names.append(trusted.name)
    return tuple(names)


def require_signed(
    client: RegistryClient, repository: str, all_found: Iterable[Found], signers: Iterable[Trusted]
) -> tuple[Found, ...]:
    """Return the fingerprints that a signer has signed. Refused where there are others only."""
    known, wanted = tuple(all_found), tuple(signers)
    held = tuple(found for found in known if signed_by(client, repository, found, wanted))
    if known and not held:
        names = ", ".join(trusted.name for trusted in wanted)
        raise RegistryRefused(
            "FINGERPRINT_UNSIGNED",
            f"{repository}: of {len(known)} fingerprints none is signed by {names}",
            "`permafrost model fingerprint sign` signs what somebody has looked at",
        )
    return held


def _written(folder: str, found: Found) -> Path:
    file = Path(folder) / _NAME
    file.write_bytes(found.content)
    return file


def _holds(signature: bytes, file: Path, trusted: Trusted) -> bool:
    try:
        check_file(signature, file, trusted)
    except RegistryRefused:
        raise
    except RegistryError:
        return False
    return True
