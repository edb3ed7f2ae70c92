"""Vectors as embeddings are: clusters on the unit sphere, each a function of its number."""

from __future__ import annotations

import numpy as np

DIMENSION = 128
ROWS = 50_000
TOPICS = 200


def vectors(count: int = ROWS, seed: int = 7) -> np.ndarray:
    """Return (count, DIMENSION) float32 of length 1: topics with noise around them."""
    generator = np.random.default_rng(seed)
    topics = generator.normal(size=(TOPICS, DIMENSION))
    chosen = topics[generator.integers(0, TOPICS, count)]
    found = chosen + 0.6 * generator.normal(size=(count, DIMENSION))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found.astype(np.float32)
