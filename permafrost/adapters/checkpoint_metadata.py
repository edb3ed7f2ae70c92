"""A checkpoint's own metadata: Hugging Face's config.json, or the header of a GGUF file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from model_registry import gguf
from model_registry.errors import RegistryError
from model_registry.media_types import FILEPATH
from permafrost.planning.gpu_memory import Architecture

CONFIG = "config.json"
LARGEST_CONFIG = 1 << 20
LARGEST_HEADER = 64 << 20
"""A GGUF header carries the vocabulary: a few MiB, tens of them for the largest ones."""

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1}
"""Of one number, by Hugging Face's torch_dtype; an engine keeps its cache in the same type."""

Fetch = Callable[[str, int], bytes | None]


def architecture_of(layers: Iterable[Mapping[str, Any]], fetch: Fetch) -> Architecture | None:
    """Return layers, heads and sizes of a checkpoint; None where its files do not tell.

    ``fetch(digest, most)`` returns the first ``most`` bytes of a blob.
    """
    digests = {
        str((layer.get("annotations") or {}).get(FILEPATH, "")): str(layer["digest"])
        for layer in layers
    }
    if CONFIG in digests:
        content = fetch(digests[CONFIG], LARGEST_CONFIG)
        return None if content is None else from_config(content)
    weights = next((digests[path] for path in sorted(digests) if path.endswith(".gguf")), None)
    if weights is None:
        return None
    for most in (LARGEST_HEADER // 16, LARGEST_HEADER):
        content = fetch(weights, most)
        if content is not None and (found := from_gguf(content)) is not None:
            return found
    return None


def from_config(content: bytes) -> Architecture | None:
    """Return what a Hugging Face configuration says; None where it is of another kind."""
    try:
        config = json.loads(content)
        heads = int(config["num_attention_heads"])
        return Architecture(
            layers=int(config["num_hidden_layers"]),
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or int(config["hidden_size"]) // heads),
            kv_bytes=BYTES.get(str(config.get("torch_dtype") or config.get("dtype")), 2),
        )
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return None


def from_gguf(beginning: bytes) -> Architecture | None:
    """Return what a GGUF header says. llama.cpp keeps its cache in 16 bits unless told."""
    try:
        found = gguf.metadata_of(io.BytesIO(beginning), "weights.gguf")
        name = found["general.architecture"]
        heads = int(found[f"{name}.attention.head_count"])
        width = found.get(f"{name}.attention.key_length")
        return Architecture(
            layers=int(found[f"{name}.block_count"]),
            kv_heads=int(found.get(f"{name}.attention.head_count_kv") or heads),
            head_dim=int(width or int(found[f"{name}.embedding_length"]) // heads),
        )
    except (RegistryError, KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
