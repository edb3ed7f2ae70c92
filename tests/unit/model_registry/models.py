"""Small models of the shapes that real ones have."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from model_registry.adding import Added, add
from model_registry.lineage import Lineage
from model_registry.registry import Registry

TOKENIZER = json.dumps({"model": {"type": "BPE"}}).encode()


def safetensors(weights: bytes, padding: int = 0) -> bytes:
    size = len(weights)
    header = {"w": {"dtype": "F16", "shape": [size // 2], "data_offsets": [0, size]}}
    text = json.dumps(header).encode().ljust(padding)
    return struct.pack("<Q", len(text)) + text + weights


def folder(at: Path, weights: bytes, **more: bytes) -> Path:
    """Write a folder of the Hugging Face layout; keywords name further files (`_` for `.`)."""
    at.mkdir(parents=True, exist_ok=True)
    (at / "model.safetensors").write_bytes(safetensors(weights))
    (at / "tokenizer.json").write_bytes(TOKENIZER)
    for name, content in more.items():
        (at / name.replace("__", ".")).write_bytes(content)
    return at


def added(
    registry: Registry,
    name: str,
    version: str,
    weights: bytes = b"",
    lineage: Lineage | None = None,
) -> Added:
    """Add a small model."""
    source = registry.home.parent / "sources" / f"{name}-{version}".replace("/", "-")
    content = weights or f"{name}:{version}".encode()
    return add(registry, folder(source, content), name, version, lineage=lineage)
