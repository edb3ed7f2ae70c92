"""What a part is made from, as one hash: files, sections of the versions file, other parts."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lab.build.problem import BuildError

_IGNORED_DIRS = {"__pycache__", ".git", "node_modules"}
_KEY_LENGTH = 20


def load_versions(path: Path) -> dict[str, dict[str, Any]]:
    """Return the sections of the versions file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BuildError(
            "VERSIONS_UNREADABLE", f"{path}: {error}", "put the checkout's file back"
        ) from error


def input_files(checkout: Path, entries: Iterable[str]) -> Iterator[Path]:
    """Yield every file below ``entries`` (files or folders of the checkout), sorted by path."""
    found: set[Path] = set()
    for entry in entries:
        path = checkout / entry
        if path.is_file():
            found.add(path)
        elif path.is_dir():
            found.update(
                p
                for p in path.rglob("*")
                if p.is_file() and not _IGNORED_DIRS.intersection(p.parts) and p.suffix != ".pyc"
            )
        else:
            raise BuildError(
                "INPUT_MISSING",
                f"{entry} is not in the checkout",
                "put it back, or correct the part's `inputs`",
            )
    yield from sorted(found)


def part_key(
    checkout: Path,
    *,
    name: str,
    files: Iterable[str],
    sections: Mapping[str, Any],
    needs: Mapping[str, str],
    facts: Mapping[str, str],
) -> str:
    """Return the cache key of a part.

    ``needs`` holds the keys of the parts that it is made from, ``facts`` what was observed of the
    machine and matters to the result (which compiler, say).
    """
    digest = hashlib.sha256()
    head = {"name": name, "sections": sections, "needs": needs, "facts": facts}
    digest.update(json.dumps(head, sort_keys=True).encode())
    for path in input_files(checkout, files):
        executable = bool(path.stat().st_mode & 0o100)
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        line = f"{path.relative_to(checkout)}\0{int(executable)}\0{content}\n"
        digest.update(line.encode())
    return digest.hexdigest()[:_KEY_LENGTH]
