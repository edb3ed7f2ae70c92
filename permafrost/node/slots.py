"""Which checkpoint a slot's Triton is configured to load."""

from __future__ import annotations

import re

from .errors import NodeError
from .settings import Settings

_CHECKPOINT = re.compile(r'key:\s*"checkpoint"\s*value\s*\{\s*string_value:\s*"([^"]*)"')


def checkpoint_of(settings: Settings, slot: str) -> str:
    """Return the digest in a slot's model configuration.

    In the slot that serves it must be the pinned one: Triton would load what nobody asked for.
    """
    path = settings.slots_dir / slot / "models" / settings.model_name / "config.pbtxt"
    try:
        found = _CHECKPOINT.search(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NodeError("SLOT_NOT_CONFIGURED", f"{path}: {error.strerror}") from error
    if found is None:
        raise NodeError("SLOT_NOT_CONFIGURED", f"{path} names no checkpoint")
    if slot == settings.slot and found[1] != settings.checkpoint:
        raise NodeError(
            "CHECKPOINT_NOT_PINNED",
            f"{path} names {found[1]}, this node is pinned to {settings.checkpoint}",
        )
    return found[1]
