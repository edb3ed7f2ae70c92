"""`config.json` and its neighbours: Hugging Face's layout, and TensorRT-LLM's engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from model_registry.metadata.facts import Facts, count, read_json, text, within

_CONTEXT = ("max_position_embeddings", "n_positions", "max_sequence_length", "n_ctx", "seq_length")
_UNBOUNDED = 1 << 30  # tokenizers without a limit say 10**30
_PRECISIONS = {
    "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3",
    "int8": "I8",
}  # fmt: skip


def read(files: dict[str, Path]) -> Facts:
    """Return the facts of the configuration files among a checkpoint's files."""
    config = read_json(files["config.json"]) if "config.json" in files else {}
    found = _engine(config) if "pretrained_config" in config else _hugging_face(config)
    if "tokenizer_config.json" in files:
        found = found.beside(_tokenizer(read_json(files["tokenizer_config.json"])))
    if "tokenizer.json" in files:
        model = within(read_json(files["tokenizer.json"]), "model")
        found = found.beside(Facts(tokenizer=text(model, "type")))
    if "generation_config.json" in files:
        generation = read_json(files["generation_config.json"])
        found = found.beside(Facts(context_tokens=count(generation, "max_length")))
    return found


def _hugging_face(config: dict[str, Any]) -> Facts:
    architectures = config.get("architectures")
    named = architectures[0] if isinstance(architectures, list) and architectures else ""
    inner = within(config, "text_config")  # models of several modalities
    quantisation = within(config, "quantization_config")
    dtype = text(config, "dtype", "torch_dtype") or text(inner, "dtype", "torch_dtype")
    return Facts(
        architecture=str(named) or text(config, "model_type"),
        family=text(config, "model_type"),
        precision=_PRECISIONS.get(dtype, dtype),
        quantisation=text(quantisation, "quant_method", "quant_algo"),
        context_tokens=count(config, *_CONTEXT) or count(inner, *_CONTEXT),
    )


def _engine(config: dict[str, Any]) -> Facts:
    """Facts of an engine: what it was built for binds, not what the model could."""
    model, build = within(config, "pretrained_config"), within(config, "build_config")
    dtype = text(model, "dtype")
    return Facts(
        architecture=text(model, "architecture"),
        family=text(model, "model_type", "qwen_type"),
        format="tensorrt-llm",
        precision=_PRECISIONS.get(dtype, dtype),
        quantisation=text(within(model, "quantization"), "quant_algo"),
        context_tokens=count(build, "max_seq_len") or count(model, "max_position_embeddings"),
    )


def _tokenizer(config: dict[str, Any]) -> Facts:
    longest = count(config, "model_max_length")
    return Facts(
        tokenizer=text(config, "tokenizer_class"),
        context_tokens=longest if longest is not None and longest < _UNBOUNDED else None,
    )
