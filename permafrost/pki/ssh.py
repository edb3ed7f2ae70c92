"""The SSH key with which the orchestrator reaches the nodes.

Its public half is read with each command, out of the private file. The library that makes keys is
imported only where there is none yet: to import it takes longer.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from permafrost.errors import Failed, Problem
from permafrost.pki.files import locked, write_whole

KIND = "ssh-ed25519"


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
    """Return the public half as OpenSSH's own tool reads it; Failed where that is no such key."""
    # Not to be asked for a passphrase: there is none.
    argv = ["ssh-keygen", "-y", "-P", "", "-f", str(private)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    kind, _, rest = done.stdout.partition(" ")
    if done.returncode or kind != KIND:
        raise Failed(
            Problem(
                "SSH_KEY_UNREADABLE",
                f"no Ed25519 key of OpenSSH's form: {done.stderr.strip() or kind}",
                str(private),
                "put the state folder's backup of it back: nodes know no other key",
            )
        )
    return f"{KIND} {rest.split()[0]} {comment}"
