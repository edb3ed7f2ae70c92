"""The header of a GGUF file, and what is done with a broken one."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_registry import gguf
from model_registry.checkpoint import pack
from model_registry.errors import RegistryError
from model_registry.layout import OciLayout

U32, STRING, ARRAY = 4, 8, 9


def text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def pair(name: str, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def tensor(name: str, *shape: int) -> bytes:
    return (
        text(name)
        + struct.pack("<I", len(shape))
        + b"".join(struct.pack("<Q", n) for n in shape)
        + struct.pack("<IQ", 0, 0)
    )


PAIRS = [
    pair("general.architecture", STRING, text("llama")),
    pair("general.name", STRING, text("Tiny")),
    pair("general.file_type", U32, struct.pack("<I", 3)),
    pair("llama.context_length", U32, struct.pack("<I", 8192)),
    pair(
        "tokenizer.ggml.tokens",
        ARRAY,
        struct.pack("<IQ", STRING, 2) + text("a") + text("b"),
    ),
    pair("tokenizer.ggml.scores", ARRAY, struct.pack("<IQ", 6, 3) + b"\0" * 12),
    pair("tokenizer.chat_template", STRING, text("{{ messages }}")),
]
HEADER = (
    b"GGUF"
    + struct.pack("<IQQ", 3, 2, len(PAIRS))
    + b"".join(PAIRS)
    + tensor("one", 10, 20)
    + tensor("two", 5)
)


def test_the_facts_are_read(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(HEADER + b"tensor data, not read")
    assert gguf.read(path) == gguf.GgufFacts(
        architecture="llama",
        name="Tiny",
        parameters=205,
        context_tokens=8192,
        quantization="Q4_1",
        chat_template="{{ messages }}",
        licence="",
    )


def test_a_packed_checkpoint_carries_the_facts(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "tiny.gguf").write_bytes(HEADER)
    adapter = tmp_path / "files" / "adapters" / "tuned.gguf"  # it says less, and comes first
    adapter.parent.mkdir()
    adapter.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + PAIRS[0])
    layout = OciLayout.create(tmp_path / "oci")
    manifest = layout.read_json(pack(tmp_path / "files", layout, "tiny"))
    assert manifest["annotations"]["vnd.permafrost.context-tokens"] == "8192"
    config = layout.read_json(manifest["config"]["digest"])
    assert config["config"] == {
        "architecture": "llama",
        "format": "gguf",
        "paramSize": "205",
        "quantization": "Q4_1",
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(cut=st.integers(0, len(HEADER) - 1))
def test_a_header_that_ends_early_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(HEADER[:cut])
    with pytest.raises(RegistryError, match="GGUF_INVALID"):
        gguf.read(path)


@pytest.mark.parametrize(
    "content",
    [
        b"NOPE" + HEADER[4:],
        b"GGUF" + struct.pack("<I", 99) + HEADER[8:],
        b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + pair("x", 77, b"\0" * 8),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + pair("x", STRING, struct.pack("<Q", 1 << 62)),
    ],
)
def test_nonsense_is_refused_without_being_believed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(RegistryError, match="GGUF_INVALID"):
        gguf.read(path)
