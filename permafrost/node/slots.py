"""Which checkpoint each slot is to load, and which one its Triton is configured with.

Beside each slot stands a file ``loaded`` with a digest: the slot is to load that one, at every
start of the machine. Without the file its unit does not start. Beside it ``checkpoint``, a link,
is what the container mounts; it is set by the verification before each start, so what is loaded
is what was verified. The configuration of a slot that is empty names no checkpoint: that is how
a convergence writes it, so it finds nothing to change where one was loaded and taken away again.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from .errors import NodeError
from .settings import Settings, check_digest
from .store import sync_folder

_CHECKPOINT = re.compile(r'(key:\s*"checkpoint"\s*value\s*\{\s*string_value:\s*")([^"]*)(")')


def loaded(settings: Settings) -> dict[str, str]:
    """Return what the slots are to load, by slot; a slot that is empty is left out."""
    return {slot: digest for slot in sorted(settings.slots) if (digest := _told(settings, slot))}


def view(settings: Settings, slot: str = "") -> Settings:
    """Return the settings as one slot sees them; without a name: the first that is loaded."""
    slot = slot or next(iter(loaded(settings)), settings.slot)
    if slot not in settings.slots:
        raise NodeError(
            "SLOT_NOT_CONFIGURED",
            f"this node has no slot {slot}",
            "permafrost-node state shows its slots",
        )
    return replace(settings, slot=slot, checkpoint=_told(settings, slot))


def checkpoint_of(settings: Settings, slot: str) -> str:
    """Return the digest in a slot's model configuration.

    It must be the one that the slot is to load: Triton would load what nobody asked for.
    """
    path = _configuration(settings, slot)
    found = _CHECKPOINT.search(_read(path))
    if found is None or not found[2]:
        raise NodeError(
            "SLOT_NOT_CONFIGURED",
            f"{path} names no checkpoint",
            "`permafrost converge` writes it anew",
        )
    told = _told(settings, slot)
    if told and found[2] != told:
        raise NodeError(
            "CHECKPOINT_NOT_PINNED",
            f"{path} names {found[2]}, slot {slot} is pinned to {told}",
            "`permafrost converge` writes both anew",
        )
    return found[2]


def configure(settings: Settings, slot: str, checkpoint: str) -> bool:
    """Make a slot one that loads a checkpoint; returns whether anything had to be changed.

    The configuration goes first: a machine that starts in between finds a slot that is empty, or
    one whose file and configuration differ, and does not load that.
    """
    check_digest(checkpoint)
    path = _configuration(settings, slot)
    text = _read(path)
    if _CHECKPOINT.search(text) is None:
        raise NodeError(
            "SLOT_NOT_CONFIGURED",
            f"{path} names no checkpoint",
            "`permafrost converge` writes it anew",
        )
    changed = _write(path, _CHECKPOINT.sub(rf"\g<1>{checkpoint}\g<3>", text))
    return _write(_marker(settings, slot), checkpoint + "\n") or changed


def empty(settings: Settings, slot: str) -> bool:
    """Make a slot one that loads nothing; returns whether it was to load something."""
    path = _marker(settings, slot)
    if not path.exists():
        return False
    path.unlink()
    sync_folder(path.parent)
    return True


def clear(settings: Settings, slot: str) -> bool:
    """Have the configuration of an empty slot name nothing; returns whether it named something.

    Apart from ``empty``, and after it: what ends a slot needs no room on the disk, this does.
    """
    path = _configuration(settings, slot)
    if not path.exists():
        return False
    return _write(path, _CHECKPOINT.sub(r"\g<1>\g<3>", _read(path)))


def mount(settings: Settings, slot: str, tree: Path) -> None:
    """Point at what the container of a slot mounts: a tree whose every byte was just verified."""
    link = settings.slots_dir / slot / "checkpoint"
    if link.is_symlink() and link.readlink() == tree:
        return
    part = link.with_name(".checkpoint.new")
    part.unlink(missing_ok=True)
    part.symlink_to(tree)
    part.replace(link)


def _told(settings: Settings, slot: str) -> str:
    try:
        digest = _marker(settings, slot).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return settings.checkpoint if slot == settings.slot else ""
    except (OSError, ValueError) as error:
        raise NodeError(
            "SLOT_NOT_CONFIGURED", f"slot {slot}: {error}", "`permafrost converge` writes it anew"
        ) from error
    check_digest(digest)
    return digest


def _marker(settings: Settings, slot: str) -> Path:
    return settings.slots_dir / slot / "loaded"


def _configuration(settings: Settings, slot: str) -> Path:
    return settings.slots_dir / slot / "models" / settings.model_name / "config.pbtxt"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise NodeError(
            "SLOT_NOT_CONFIGURED",
            f"{path}: {error.strerror}",
            "`permafrost converge` writes it anew",
        ) from error


def _write(path: Path, text: str) -> bool:
    """Replace a small file whole, durably; one that says so already is left."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    part = path.with_name(f".{path.name}.new")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.chmod(0o644)
    part.replace(path)
    sync_folder(path.parent)
    return True
