"""What refers to a manifest: the fingerprints of a checkpoint, and signatures of those."""

from __future__ import annotations

from dataclasses import dataclass

FINGERPRINT = "application/vnd.permafrost.fingerprint.v1+json"
SIGNATURE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@dataclass(frozen=True)
class Attached:
    """What an artifact holds, and the digest of the artifact, to which others may refer."""

    artifact: str
    content: bytes
