"""What a language model is asked, and what the engine alone answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.checkpoints.recorder import record
from lab.errors import LabError

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


def answers(folder: Path) -> tuple[dict[str, str], list[dict[str, Any]]]:
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
        raise LabError(
            "CHECKPOINT_NOT_STEADY",
            "the engine gave other tokens the second time",
            "ask with one thread, or take other questions",
        )
    return first
