"""From files to a layout: the checkpoint, its fingerprint, and the two that name it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Protocol

from lab.checkpoints import chat, pulse
from lab.errors import LabError
from model_registry.checkpoint import pack
from model_registry.fingerprint.document import read
from model_registry.fingerprint.referrers import attach
from model_registry.layout import OciLayout
from model_registry.verify import verify


class Source(Protocol):
    """Where a checkpoint's files and its expected answers come from."""

    NAME: str

    def collect(self, folder: Path) -> None:
        """Put the files into ``folder``."""

    def probes(self, folder: Path) -> tuple[dict[str, str], list[dict[str, Any]]]:
        """Return the engine and its answers."""


SOURCES: dict[str, Source] = {"chat": chat, "pulse": pulse}


def build(endpoint: str, out: Path) -> str:
    """Write ``oci/``, ``digest`` and ``name`` below ``out``; returns the checkpoint's id."""
    source = SOURCES[endpoint]
    layout = OciLayout.create(out / "oci")
    with tempfile.TemporaryDirectory(prefix="pack-") as scratch:
        folder = Path(scratch)
        source.collect(folder)
        checkpoint = pack(folder, layout, source.NAME)
        engine, probes = source.probes(folder)
    document = {"schema": 2, "checkpoint": checkpoint, "engine": engine, "probes": probes}
    attach(layout, checkpoint, read(document).as_dict())
    verdict = verify(layout, checkpoint)
    if not verdict.holds:
        raise LabError("CHECKPOINT_BROKEN", f"written and not whole: {', '.join(verdict.wrong)}")
    (out / "digest").write_text(checkpoint + "\n", encoding="ascii")
    (out / "name").write_text(source.NAME + "\n", encoding="ascii")
    return checkpoint
