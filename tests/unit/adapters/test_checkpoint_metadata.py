"""Layers and heads, from Hugging Face's configuration and from a GGUF header."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from model_registry.media_types import FILEPATH
from permafrost.adapters.checkpoint_metadata import architecture_of, from_config, from_gguf
from permafrost.planning.gpu_memory import Architecture

LLAMA = {
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "hidden_size": 8192,
    "torch_dtype": "bfloat16",
}


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def header(**values: int) -> bytes:
    """Return a GGUF header: architecture, a vocabulary, then 32-bit numbers."""
    pairs = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    pairs += text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b")
    for key, value in values.items():
        pairs += text(f"llama.{key.replace('__', '.')}") + struct.pack("<II", 4, value)
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(values) + 2) + pairs


SMOLLM = {
    "block_count": 30,
    "embedding_length": 576,
    "attention__head_count": 9,
    "attention__head_count_kv": 3,
}


def layer(path: str) -> dict[str, Any]:
    return {"digest": f"sha256:{path}", "annotations": {FILEPATH: path}}


def test_a_hugging_face_configuration() -> None:
    found = from_config(json.dumps(LLAMA).encode())
    assert found == Architecture(80, 8, 128, 2)
    assert found.kv_bytes_per_token == 327_680


def test_a_gguf_header() -> None:
    found = from_gguf(header(**SMOLLM))
    assert found == Architecture(30, 3, 64, 2)
    assert found.kv_bytes_per_token == 23_040


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"null", b"GGUF", header(block_count=3), b"\xff" * 64]
)
def test_what_does_not_tell_is_unknown_and_no_error(content: bytes) -> None:
    assert from_config(content) is None
    assert from_gguf(content) is None


def test_the_configuration_is_asked_first_and_a_long_header_again() -> None:
    asked: list[tuple[str, int]] = []

    def fetch(digest: str, most: int) -> bytes | None:
        asked.append((digest, most))
        return b"GGUF" if len(asked) == 1 else header(**SMOLLM)

    assert architecture_of([layer("model.gguf")], fetch) == Architecture(30, 3, 64)
    assert [digest for digest, _ in asked] == ["sha256:model.gguf"] * 2
    assert asked[0][1] < asked[1][1]
    asked.clear()
    assert architecture_of([layer("config.json"), layer("model.safetensors")], fetch) is None
    assert [digest for digest, _ in asked] == ["sha256:config.json"]
    assert architecture_of([layer("weights.bin")], fetch) is None
