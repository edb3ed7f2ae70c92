"""From files to a layout: the checkpoint, its fingerprint, and the two that name it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Protocol

from lab.checkpoints import chat, child, gemma, pulse
from lab.errors import LabError
from model_registry.adding import annotations_of
from model_registry.checkpoint import pack
from model_registry.fingerprint.document import read
from model_registry.fingerprint.referrers import attach
from model_registry.layout import OciLayout
from model_registry.lineage import Lineage
from model_registry.verify import verify


class Source(Protocol):
    """Where a checkpoint's files and its expected answers come from."""

    NAME: str

    def collect(self, folder: Path, parent: Path | None) -> Lineage | None:
        """Put the files into ``folder``; returns where they come from, as far as that is known."""

    def probes(self, folder: Path) -> tuple[dict[str, str], list[dict[str, Any]]]:
        """Return the engine and its answers."""


SOURCES: dict[str, Source] = {"chat": chat, "pulse": pulse, "gemma": gemma, "child": child}


def build(which: str, out: Path, parent: Path | None = None) -> str:
    """Write ``oci/``, ``digest`` and ``name`` below ``out``; returns the checkpoint's id.

    ``parent`` is the built folder of the checkpoint that this one is made from.
    """
    source = SOURCES[which]
    layout = OciLayout.create(out / "oci")
    with tempfile.TemporaryDirectory(prefix="pack-") as scratch:
        folder = Path(scratch)
        lineage = source.collect(folder, parent)
        annotations = annotations_of(lineage, ())
        checkpoint = pack(folder, layout, source.NAME, annotations=annotations)
        engine, probes = source.probes(folder)
    document = {"schema": 2, "checkpoint": checkpoint, "engine": engine, "probes": probes}
    attach(layout, checkpoint, read(document).as_dict())
    verdict = verify(layout, checkpoint)
    if not verdict.holds:
        raise LabError(
            "CHECKPOINT_BROKEN",
            f"written and not whole: {', '.join(verdict.wrong)}",
            "build it again; if it stays so, look at the disk",
        )
    (out / "digest").write_text(checkpoint + "\n", encoding="ascii")
    (out / "name").write_text(source.NAME + "\n", encoding="ascii")
    return checkpoint
