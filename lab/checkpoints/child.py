"""A child of ``smollm2-135m-instruct``: every quantised tensor quantised anew, to Q4_0.

The weights really change (by so much as its lineage says), and so do answers.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, LlamaFileType
from gguf.quants import dequantize

from lab.checkpoints import chat
from lab.checkpoints.questions import answers
from lab.checkpoints.tensors import rewritten
from lab.errors import LabError
from model_registry.checkpoint import files_of
from model_registry.layout import OciLayout
from model_registry.lineage import Lineage, Method, Parent

NAME = chat.NAME
WEIGHTS = "SmolLM2-135M-Instruct.Q4_0.gguf"

probes = answers


def collect(folder: Path, parent: Path | None) -> Lineage | None:
    """Put the child's files into ``folder``; ``parent`` is the built part of its parent."""
    if parent is None:
        raise LabError(
            "CHECKPOINT_PARENT_MISSING",
            "a child is made from its parent's part",
            "build the part of its parent first",
        )
    digest = (parent / "digest").read_text(encoding="ascii").strip()
    layout = OciLayout(parent / "oci")
    for file in files_of(layout.read_json(digest)):
        if file.path == chat.WEIGHTS:
            before = layout.blob_path(file.digest)
        else:
            shutil.copyfile(layout.blob_path(file.digest), folder / file.path)
    rewritten(before, folder / WEIGHTS, _to_q4_0, LlamaFileType.MOSTLY_Q4_0)
    evidence = {"relative_error": _relative_error(before, folder / WEIGHTS)}
    return Lineage(Method.QUANTISE, (Parent(digest, NAME),), evidence=evidence)


def _to_q4_0(
    name: str, values: np.ndarray, before: GGMLQuantizationType
) -> tuple[np.ndarray, GGMLQuantizationType]:
    del name, before
    return values, GGMLQuantizationType.Q4_0


def _relative_error(before: Path, after: Path) -> float:
    """Return how far the weights moved: the norm of the change over the norm of the weights."""
    changed, whole = 0.0, 0.0
    pairs = zip(GGUFReader(before).tensors, GGUFReader(after).tensors, strict=True)
    for one, other in pairs:
        old = np.asarray(dequantize(one.data, one.tensor_type), dtype=np.float64)
        new = np.asarray(dequantize(other.data, other.tensor_type), dtype=np.float64)
        changed += float(np.square(new - old).sum())
        whole += float(np.square(old).sum())
    return round(float(np.sqrt(changed / whole)), 4)
