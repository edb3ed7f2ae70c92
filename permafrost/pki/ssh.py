"""The SSH key with which the orchestrator reaches the nodes.

Its public half is read with each command, out of the private file: there it stands unencrypted
(openssh/PROTOCOL.key). The library that makes keys is imported only where there is none yet.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path

from permafrost.errors import Failed, Problem
from permafrost.pki.files import locked, write_whole

BEGIN, END = "-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----"
MAGIC = b"openssh-key-v1\0"
KIND = b"ssh-ed25519"


@dataclass(frozen=True, slots=True)
class SshKey:
    """Where the private key lies, its public line, and the file of known host keys."""

    private_path: Path
    public: str
    known_hosts_path: Path


def ssh_key(state_dir: Path, comment: str = "permafrost") -> SshKey:
    """Return the site's SSH key, made once. The public line has no line end."""
    folder = state_dir / "ssh"
    private, public = folder / "id_ed25519", folder / "id_ed25519.pub"
    with locked(folder):
        if not private.exists():
            write_whole(private, _made(), mode=0o600)
        line = _public_line(private, comment)
        if not public.exists() or public.read_text() != line + "\n":
            write_whole(public, f"{line}\n".encode(), mode=0o644)
    return SshKey(private, line, folder / "known_hosts")


def _made() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )


def _public_line(private: Path, comment: str) -> str:
    try:
        public = _public_half(private.read_text(encoding="ascii"))
    except ValueError as error:
        raise Failed(
            Problem(
                "SSH_KEY_UNREADABLE",
                f"no Ed25519 key of OpenSSH's form: {error}",
                str(private),
                "put the state folder's backup of it back: nodes know no other key",
            )
        ) from None
    return f"{KIND.decode()} {b64encode(public).decode()} {comment}"


def _public_half(text: str) -> bytes:
    """Return the public key in OpenSSH's own form. Raises ValueError where there is none."""
    body = text.partition(BEGIN)[2].partition(END)[0]
    data = b64decode("".join(body.split()), validate=True)
    if not data.startswith(MAGIC):
        raise ValueError("it does not begin as one")
    rest = data[len(MAGIC) :]
    for _ in ("cipher", "key derivation", "its options"):
        _, rest = _string(rest)
    public, _ = _string(rest[4:])  # after the number of keys
    if _string(public)[0] != KIND:
        raise ValueError("it is of another kind")
    return public


def _string(data: bytes) -> tuple[bytes, bytes]:
    """Return a string that its length in four bytes precedes, and what follows it."""
    end = 4 + int.from_bytes(data[:4], "big")
    if len(data) < end:
        raise ValueError("it is cut off")
    return data[4:end], data[end:]
