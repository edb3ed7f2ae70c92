"""Secrets that Permafrost makes itself: files of the state folder, made once, closed to others."""

from __future__ import annotations

import secrets
from pathlib import Path

from permafrost.pki.files import locked, write_whole

FOLDER = "secrets"
BYTES = 24


def own_secret(state_dir: Path, name: str) -> str:
    """Return a secret of the site, made at its first use (``<state>/secrets/<name>``, 0600)."""
    folder = state_dir / FOLDER
    with locked(folder):
        file = folder / name
        if not file.exists():
            write_whole(file, secrets.token_urlsafe(BYTES).encode(), mode=0o600)
        return file.read_text()
