"""The SSH key with which the orchestrator reaches the nodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from permafrost.pki.files import locked, write_whole


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
            key = Ed25519PrivateKey.generate()
            write_whole(
                private,
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.OpenSSH,
                    serialization.NoEncryption(),
                ),
                mode=0o600,
            )
        line = _public_line(private, comment)
        if not public.exists() or public.read_text() != line + "\n":
            write_whole(public, f"{line}\n".encode(), mode=0o644)
    return SshKey(private, line, folder / "known_hosts")


def _public_line(private: Path, comment: str) -> str:
    key = serialization.load_ssh_private_key(private.read_bytes(), password=None)
    line = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return f"{line.decode()} {comment}"
