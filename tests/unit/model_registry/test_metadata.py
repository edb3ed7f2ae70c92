"""What the files of a checkpoint say of themselves, in the formats that people have."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from model_registry.adding import add
from model_registry.errors import RegistryError
from model_registry.metadata.facts import Facts
from model_registry.metadata.gather import gather
from model_registry.registry import Registry

Tensors = dict[str, tuple[str, list[int]]]
WIDTHS = {"F32": 4, "F16": 2, "BF16": 2, "I8": 1}


def safetensors(tensors: Tensors) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape) in tensors.items():
        size = WIDTHS[dtype]
        for dimension in shape:
            size *= dimension
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * end


def varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def onnx(*, is_packed: bool = True) -> bytes:
    """A ModelProto: 4x3 floats, 2 halves, and 2 int64 that are a shape."""

    def dims(*sizes: int) -> bytes:
        if is_packed:
            return field(1, b"".join(map(varint, sizes)))
        return b"".join(field(1, size) for size in sizes)

    floats = dims(4, 3) + field(2, 1) + field(8, b"w") + field(9, b"\0" * 48)
    halves = dims(2) + field(2, 10) + field(8, b"b") + field(9, b"\0" * 4)
    shape = dims(200) + field(2, 7) + field(8, b"s") + field(9, b"\0" * 1600)
    graph = field(1, field(4, b"MatMul")) + field(2, b"encoder")
    graph += b"".join(field(5, tensor) for tensor in (floats, halves, shape))
    return field(1, 9) + field(2, b"exporter") + field(7, graph) + field(8, field(2, 17))


def written(at: Path, **files: bytes | dict[str, Any]) -> list[tuple[str, Path]]:
    """Write files (`__` in a name is a dot); return them as a checkpoint's."""
    at.mkdir(exist_ok=True)
    found = []
    for key, content in files.items():
        name = key.replace("__", ".").replace("ENGINE", "rank0")
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (at / name).write_bytes(data)
        found.append((name, at / name))
    return found


def test_safetensors_in_the_layout_of_hugging_face(tmp_path: Path) -> None:
    files = written(
        tmp_path / "m",
        config__json={
            "architectures": ["MistralForCausalLM"],
            "model_type": "mistral",
            "torch_dtype": "bfloat16",
            "max_position_embeddings": 32768,
        },
        generation_config__json={"max_length": 4096},
        tokenizer_config__json={"tokenizer_class": "LlamaTokenizer", "model_max_length": 10**30},
        tokenizer__json={"model": {"type": "BPE"}},
        README__md=b"---\nlicense: apache-2.0\ntags:\n- text\n---\n# Mistral\n",
        one__safetensors=safetensors({"a": ("BF16", [4, 8]), "norm": ("F32", [8])}),
        two__safetensors=safetensors({"b": ("BF16", [16])}),
    )
    assert gather(files) == Facts(
        architecture="MistralForCausalLM",
        family="mistral",
        format="safetensors",
        parameters=32 + 8 + 16,
        precision="BF16",
        context_tokens=32768,
        tokenizer="LlamaTokenizer",
        licence="Apache-2.0",
    )


@pytest.mark.parametrize("is_packed", [True, False])
def test_onnx(tmp_path: Path, is_packed: bool) -> None:
    content = onnx(is_packed=is_packed)
    facts = gather(written(tmp_path / "m", model__onnx=content, LICENSE=b"MIT License\n\n..."))
    assert facts == Facts(
        architecture="encoder", format="onnx", parameters=14, precision="F32", licence="MIT"
    )


def test_an_engine_of_tensorrt_llm_says_what_it_was_built_for(tmp_path: Path) -> None:
    config = {
        "version": "0.16.0",
        "pretrained_config": {
            "architecture": "LlamaForCausalLM",
            "dtype": "float16",
            "max_position_embeddings": 131072,
            "quantization": {"quant_algo": "FP8"},
        },
        "build_config": {"max_seq_len": 8192, "max_batch_size": 64},
    }
    files = written(tmp_path / "m", config__json=config, ENGINE__engine=b"\0engine")
    assert gather(files) == Facts(
        architecture="LlamaForCausalLM",
        format="tensorrt-llm",
        precision="F16",
        quantisation="FP8",
        context_tokens=8192,
    )


@pytest.mark.parametrize(
    ("name", "content", "licence"),
    [
        ("README__md", b"---\nlicense: other\nlicense_name: gemma\n---\n", "LicenseRef-gemma"),
        ("README__md", b"# no front matter\nlicense: mit\n", ""),
        (
            "LICENSE",
            b"        Apache License\n      Version 2.0, January",
            "Apache-2.0",
        ),
        ("LICENSE__txt", b"LLAMA 2 COMMUNITY LICENSE AGREEMENT", "LicenseRef-llama2"),
        ("LICENSE", b"all of it is mine", ""),
    ],
)
def test_licences(tmp_path: Path, name: str, content: bytes, licence: str) -> None:
    assert gather(written(tmp_path / "m", **{name: content})).licence == licence


def test_the_facts_stand_in_the_stored_configuration(registry: Registry, tmp_path: Path) -> None:
    written(
        tmp_path / "m",
        config__json={"model_type": "llama", "max_position_embeddings": 4096},
        model__safetensors=safetensors({"w": ("F16", [10])}),
        LICENSE=b"Apache License\nVersion 2.0",
    )
    manifest = registry.layout.read_json(add(registry, tmp_path / "m", "chat", "1").digest)
    config = registry.layout.read_json(manifest["config"]["digest"])
    assert config["config"] == {
        "architecture": "llama",
        "format": "safetensors",
        "paramSize": "10",
        "precision": "F16",
    }
    assert config["descriptor"]["licenses"] == ["Apache-2.0"]
    assert manifest["annotations"]["vnd.permafrost.context-tokens"] == "4096"


WHOLE = safetensors({"w": ("F16", [100])})


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("m.safetensors", WHOLE[:-1], "SAFETENSORS_INVALID"),
        ("m.safetensors", WHOLE + b"!", "SAFETENSORS_INVALID"),
        ("m.safetensors", WHOLE[:40], "SAFETENSORS_INVALID"),
        ("m.safetensors", WHOLE.replace(b'"F16"', b'"F16,'), "SAFETENSORS_INVALID"),
        ("m.safetensors", WHOLE.replace(b"[100]", b'["x"]'), "SAFETENSORS_INVALID"),
        ("m.onnx", onnx()[:-1], "ONNX_INVALID"),
        ("m.onnx", onnx()[:100], "ONNX_INVALID"),
        ("m.onnx", b"\xff" * 40, "ONNX_INVALID"),
        ("config.json", b'{"a":', "METADATA_INVALID"),
        ("config.json", b"[" * 100_000, "METADATA_INVALID"),
    ],
)
def test_a_broken_file_is_refused_and_leaves_nothing(
    registry: Registry, tmp_path: Path, name: str, content: bytes, code: str
) -> None:
    folder = tmp_path / "m"
    written(folder, other__bin=b"weights of no known form")
    (folder / name).write_bytes(content)
    with pytest.raises(RegistryError, match=code):
        add(registry, folder, "chat", "1")
    assert registry.catalogue.events() == ()
    assert registry.layout.entries() == ()
    assert registry.layout.stored() == frozenset()


def test_other_bytes_under_a_known_name_are_no_error(tmp_path: Path) -> None:
    files = written(tmp_path / "m", model__safetensors=b"not that form", config__json=b"[1]")
    assert gather(files) == Facts(format="safetensors")
