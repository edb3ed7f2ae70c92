"""The same checkpoint with one thing changed: each a real change of the bytes on disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter

from lab.checkpoints.tensors import Change, rewritten

OTHER_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)
NORM_EVERY_TOKEN_PASSES = "output_norm.weight"


def weights(folder: Path) -> Path:
    """Return the checkpoint's one weight file."""
    (found,) = folder.glob("*.gguf")
    return found


def copied(source: Path, target: Path) -> Path:
    """Copy a checkpoint; returns the copy's folder."""
    shutil.copytree(source, target)
    for path in target.iterdir():
        path.chmod(0o644)
    return target


def other_template(source: Path, target: Path) -> Path:
    """The same weights behind another chat template."""
    copied(source, target)
    (target / "chat_template.jinja").write_text(OTHER_TEMPLATE, encoding="utf-8")
    return target


def flipped(source: Path, target: Path) -> Path:
    """One bit of one byte, in the norm that every token of every prompt passes."""
    copied(source, target)
    reader = GGUFReader(weights(source))
    (norm,) = (t for t in reader.tensors if t.name == NORM_EVERY_TOKEN_PASSES)
    assert norm.tensor_type is GGMLQuantizationType.F32
    with weights(target).open("r+b") as file:
        # The top byte but one of a float32: its last bit of exponent, a factor of two.
        file.seek(int(norm.data_offset) + 4 * 17 + 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 0x80]))
    return target


def child(source: Path, target: Path) -> Path:
    """A derived model: the last blocks' feed-forward weights, a twentieth smaller."""
    return _with_weights(source, target, _a_twentieth_smaller)


def requantised(kind: GGMLQuantizationType) -> Callable[[Path, Path], Path]:
    """Return what makes the same weights in another quantisation."""
    return lambda source, target: _with_weights(source, target, lambda _, v, __: (v, kind))


def _a_twentieth_smaller(
    name: str, values: np.ndarray, kind: GGMLQuantizationType
) -> tuple[np.ndarray, GGMLQuantizationType]:
    block = int(name.split(".")[1]) if name.startswith("blk.") else -1
    if block >= 25 and ".ffn_" in name:
        return values * np.float32(0.95), kind
    return values, kind


def _with_weights(source: Path, target: Path, change: Change) -> Path:
    """Copy the checkpoint with its tensors changed; returns the copy's folder."""
    target.mkdir()
    for path in source.iterdir():
        if path.suffix != ".gguf":
            shutil.copyfile(path, target / path.name)
    rewritten(weights(source), target / weights(source).name, change)
    return target


ADAPTER_RANK = 4


def with_adapter(source: Path, target: Path) -> Path:
    """The same weights with a small LoRA adapter beside them, in its own folder."""
    copied(source, target)
    reader = GGUFReader(weights(source))
    architecture = reader.fields["general.architecture"].contents()
    (target / "adapters").mkdir()
    writer = GGUFWriter(target / "adapters" / "tuned.gguf", architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(ADAPTER_RANK))
    chance = np.random.default_rng(7)
    for tensor in reader.tensors:
        if not tensor.name.endswith(".ffn_down.weight"):
            continue
        inner, outer = (int(n) for n in tensor.shape)  # GGUF names the contracted one first
        for half, shape in (("a", (ADAPTER_RANK, inner)), ("b", (outer, ADAPTER_RANK))):
            values = chance.normal(0, 0.15, shape).astype(np.float32)
            writer.add_tensor(f"{tensor.name}.lora_{half}", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
