"""All that a checkpoint's files say, the weights' own word first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model_registry import gguf
from model_registry.metadata import configs, licence, onnx, safetensors
from model_registry.metadata.facts import Facts


def gather(files: Sequence[tuple[str, Path]]) -> Facts:
    """Return the facts of a checkpoint: its files by name, and where each lies."""
    found = _weights(files)
    named = dict(files)
    return found.beside(configs.read(named)).beside(Facts(licence=licence.read(named)))


def _weights(files: Sequence[tuple[str, Path]]) -> Facts:
    by_form = {
        form: [(name, path) for name, path in files if name.endswith(form)]
        for form in (".gguf", ".safetensors", ".onnx")
    }
    if by_form[".gguf"]:
        # An adapter lies in a folder of its own and says less than the weights it is applied to
        first = min(by_form[".gguf"], key=lambda file: (file[0].count("/"), file[0]))
        facts = gguf.read(first[1])
        return Facts(
            architecture=facts.architecture,
            family=facts.architecture,
            format="gguf",
            parameters=facts.parameters,
            quantisation=facts.quantization,
            context_tokens=facts.context_tokens,
            licence=licence.spdx(facts.licence),
        )
    if by_form[".safetensors"]:
        return safetensors.read(by_form[".safetensors"])
    if by_form[".onnx"]:
        return onnx.read(*by_form[".onnx"][0])
    return Facts()
