"""Why a slot's server was not let start: the verification before it writes, the service reads.

Without it all that the service sees is a Triton that does not listen, which is what one that loads
looks like as well; an operator would wait for what never comes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from .errors import NodeError


def note(models_dir: Path, slot: str, error: NodeError) -> None:
    """Write down why a slot may not start. A full disk is told and stops nobody."""
    file = _file(models_dir, slot)
    part = file.with_suffix(".part")
    try:
        part.write_text(f"{error.code}: {error.message}\n", encoding="utf-8")
        part.chmod(0o644)
        part.replace(file)
    except OSError as problem:
        sys.stderr.write(f"the refusal of slot {slot} was not noted: {problem}\n")


def forget(models_dir: Path, slot: str) -> None:
    """Take the note away: the bytes are verified."""
    _file(models_dir, slot).unlink(missing_ok=True)


def last(models_dir: Path, slot: str) -> str:
    """Return why a slot was not let start, empty when it was."""
    try:
        return _file(models_dir, slot).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _file(models_dir: Path, slot: str) -> Path:
    return models_dir / f"refused-{slot}"
