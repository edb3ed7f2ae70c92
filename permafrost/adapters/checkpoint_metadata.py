"""A checkpoint's own metadata: Hugging Face's config.json, or the header of a GGUF file."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
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

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json")
TEMPLATES = ("chat_template.jinja", "tokenizer_config.json")

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


@dataclass(frozen=True, slots=True)
class ClientsView:
    """What clients rely on beside the answers; empty or None where the files do not tell."""

    context_tokens: int | None = None
    tokenizer: str = ""
    contract: str = ""


def clients_view_of(layers: Iterable[Mapping[str, Any]], fetch: Fetch) -> ClientsView:
    """Return context, tokenizer and chat template of a checkpoint, as digests.

    ``fetch(digest, most)`` returns the first ``most`` bytes of a blob.
    """
    digests = {
        str((layer.get("annotations") or {}).get(FILEPATH, "")): str(layer["digest"])
        for layer in layers
    }
    weights = next((digests[path] for path in sorted(digests) if path.endswith(".gguf")), None)
    if weights is not None:
        for most in (LARGEST_HEADER // 16, LARGEST_HEADER):
            content = fetch(weights, most)
            if content is not None and (found := _view_of_gguf(content)) is not None:
                return found
        return ClientsView()
    tokenizer = next((digests[name] for name in TOKENIZERS if name in digests), "")
    contract = next((digests[name] for name in TEMPLATES if name in digests), "")
    config = fetch(digests[CONFIG], LARGEST_CONFIG) if CONFIG in digests else None
    return ClientsView(_context_of(config), tokenizer, contract)


def _context_of(config: bytes | None) -> int | None:
    try:
        return int(json.loads(config or b"")["max_position_embeddings"])
    except (ValueError, KeyError, TypeError):
        return None


def _view_of_gguf(beginning: bytes) -> ClientsView | None:
    try:
        found = gguf.metadata_of(io.BytesIO(beginning), "weights.gguf", arrays=True)
    except RegistryError:
        return None
    of_tokens = {k: v for k, v in found.items() if k.startswith("tokenizer.")}
    template = str(of_tokens.pop("tokenizer.chat_template", ""))
    context = found.get(f"{found.get('general.architecture')}.context_length")
    return ClientsView(
        None if context is None else int(context),
        _digest(json.dumps(of_tokens, sort_keys=True, default=str)) if of_tokens else "",
        _digest(template) if template else "",
    )


def _digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


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
