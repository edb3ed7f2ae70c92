"""The key with which this site signs its receipts: Ed25519, made when first used.

The private half stays with the control plane (``<state>/receipt-key.pem``, its owner's alone). The
public half lies beside the receipts, and an auditor keeps a copy: who can write files and database
can make both anew, but cannot sign as the key that the auditor has.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from permafrost.errors import Problem, Refused
from permafrost.pki.files import write_whole

PRIVATE, PUBLIC = "receipt-key.pem", "signer.pem"
RESTORE = "put the state folder's backup of it back; moved away, the next receipt makes a new one"
NAME_IT = "--key takes the copy of <state>/receipts/signer.pem that was kept"


class Signer:
    """Signs, with the key of a state folder."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = Verifier(key.public_key())

    @classmethod
    def of(cls, state_dir: Path, receipts: Path) -> Signer:
        """Return the signer of a state folder; its key is made where there is none."""
        path = state_dir / PRIVATE
        if not path.exists():
            made = Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            write_whole(path, made, mode=0o600)
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise Refused(Problem("RECEIPT_KEY_INVALID", "no Ed25519 key", str(path), RESTORE))
        found = cls(key)
        public = receipts / PUBLIC
        if not public.exists() or public.read_bytes() != found.public.pem():
            write_whole(public, found.public.pem(), mode=0o600)
        return found

    def sign(self, content: bytes) -> str:
        """Return the signature of some bytes, base64."""
        return b64encode(self._key.sign(content)).decode()


class Verifier:
    """Knows one signer. ``name``: the SHA-256 of its public key."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.name = "sha256:" + hashlib.sha256(raw).hexdigest()

    @classmethod
    def of(cls, path: Path) -> Verifier:
        """Return what verifies by a public key's file; Refused where it is none."""
        try:
            key = serialization.load_pem_public_key(path.read_bytes())
        except (OSError, ValueError) as error:
            problem = Problem("RECEIPT_KEY_INVALID", f"no public key: {error}", str(path), NAME_IT)
            raise Refused(problem) from None
        if not isinstance(key, Ed25519PublicKey):
            raise Refused(Problem("RECEIPT_KEY_INVALID", "no Ed25519 key", str(path), NAME_IT))
        return cls(key)

    def pem(self) -> bytes:
        """Return the public key as a PEM file's content."""
        return self._key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def has_signed(self, content: bytes, signature: str) -> bool:
        """Whether this signer has signed these bytes."""
        try:
            self._key.verify(b64decode(signature, validate=True), content)
        except (InvalidSignature, ValueError):
            return False
        return True
