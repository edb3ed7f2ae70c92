"""Does a checkpoint with its key-value cache fit the GPUs of a replica?

A transformer keeps, for each token of each request, one key and one value vector per layer and
key-value head: ``2 x layers x kv_heads x head_dim x bytes`` a token (Kwon et al. 2023, section 3).
Asked for are ``max_context_tokens`` for each of ``max_concurrent`` requests. A tenth of the memory
is left to the engine: vLLM's ``gpu_memory_utilization`` is 0.9 unless somebody changes it.
"""

from __future__ import annotations

from dataclasses import dataclass

ENGINES_SHARE = 0.1
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Architecture:
    """What a checkpoint's own metadata says of its attention. ``kv_bytes``: of one number."""

    layers: int
    kv_heads: int
    head_dim: int
    kv_bytes: int = 2

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of key-value cache that one token of one request takes."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.kv_bytes


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes that a replica needs on its GPUs, and bytes that they have for it."""

    weights: int
    kv_cache: int
    usable: int

    @property
    def fits(self) -> bool:
        """Whether weights and cache fit together."""
        return self.weights + self.kv_cache <= self.usable

    def __str__(self) -> str:
        return (
            f"weights {self.weights / GIB:.1f} GiB + KV cache {self.kv_cache / GIB:.1f} GiB"
            f" of {self.usable / GIB:.1f} GiB usable"
        )


def memory_need(
    architecture: Architecture,
    *,
    weights_bytes: int,
    context_tokens: int,
    concurrent: int,
    gpu_memory_gib: int,
    gpus: int,
) -> MemoryNeed:
    """Return need and room of one replica; sizes in bytes, GPU memory in GiB a device."""
    return MemoryNeed(
        weights=weights_bytes,
        kv_cache=architecture.kv_bytes_per_token * context_tokens * concurrent,
        usable=int(gpu_memory_gib * GIB * gpus * (1 - ENGINES_SHARE)),
    )


def most_concurrent(
    architecture: Architecture, *, weights_bytes: int, context_tokens: int, usable: int
) -> int:
    """Return how many requests of the full context fit beside the weights."""
    per_request = architecture.kv_bytes_per_token * context_tokens
    return max(0, (usable - weights_bytes) // per_request) if per_request else 0
