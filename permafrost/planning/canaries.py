"""Questions to the vector store whose answers are known: a collection that is a function.

The vectors are a pure function of their number, the index is exact, so the neighbours of each
question can be worked out here. An answer that differs is wrong, whatever the server thinks.
"""

from __future__ import annotations

import hashlib
from functools import cache

COLLECTION = "permafrost_canary"
DIMENSION = 16
ROWS = 256
NEIGHBOURS = 5
QUESTIONS = tuple(range(0, ROWS, 16))

Vector = tuple[float, ...]


@cache
def vector(number: int) -> Vector:
    """Return the vector of a row: whole numbers of -128 to 127, exact in single precision."""
    digest = hashlib.sha256(f"permafrost canary {number}".encode()).digest()
    return tuple(float(byte - 128) for byte in digest[:DIMENSION])


def _distance(one: Vector, other: Vector) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


@cache
def neighbours(question: int) -> tuple[int, ...]:
    """Return the rows nearest to a row's own vector, itself first; distances are all different."""
    asked = vector(question)
    ranked = sorted(range(ROWS), key=lambda row: (_distance(asked, vector(row)), row))
    return tuple(ranked[:NEIGHBOURS])
