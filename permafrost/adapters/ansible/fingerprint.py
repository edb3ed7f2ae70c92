"""What decides whether a node must be converged again: the roles' content and its variables."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from permafrost.adapters.ansible.variables import Variables

CONTENT = ("playbooks", "templates", "permafrost/node")
_IGNORED_SUFFIXES = frozenset({".pyc", ".swp"})


def content_fingerprint(source: Path, folders: tuple[str, ...] = CONTENT) -> str:
    """Return a digest over the names, modes and bytes of everything that can land on a node."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in content_files(source / folder):
            executable = bool(file.stat().st_mode & 0o100)
            _add(digest, str(file.relative_to(source)), str(int(executable)))
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def content_files(folder: Path) -> list[Path]:
    """Return the files of a folder in a fixed order, without what Python or an editor leaves."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix not in _IGNORED_SUFFIXES
        and "__pycache__" not in path.parts
    )


def node_fingerprint(content: str, variables: Variables) -> str:
    """Return the digest of one node. A secret takes part by its hash only."""
    digest = hashlib.sha256()
    _add(digest, content, json.dumps(variables.plain, sort_keys=True, default=str))
    for name, value in sorted(variables.secret.items()):
        _add(digest, name, hashlib.sha256(value.encode()).hexdigest())
    return digest.hexdigest()


def _add(digest: hashlib._Hash, *parts: str) -> None:
    # Each part with its length: no two lists of parts give the same bytes.
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
