"""Passwords and other secrets: made once, kept in files that only their owner reads."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file so that it is either whole or as it was, never readable to others between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as output:
        output.write(text)
    part.replace(path)


def ensure_password(path: Path) -> str:
    """Return the password in a file, made where it is missing."""
    if not path.exists():
        # The prefix satisfies vCenter's rule: upper and lower case, a digit and a sign.
        write_private(path, f"Aa1-{secrets.token_urlsafe(24)}\n")
    return path.read_text().strip()
