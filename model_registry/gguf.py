"""What the header of a GGUF file says: architecture, size, context. The tensors are not read.

The header is metadata as typed key-value pairs, then one description for each tensor. It is read
with bounds, since a file that is about to be packed need not be well-formed.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from model_registry.errors import RegistryError

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MOST_PAIRS, _MOST_TENSORS, _LONGEST_STRING, _MOST_DIMENSIONS = 65536, 65536, 1 << 26, 8
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?",
    10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
# llama.cpp's llama_ftype, the value of general.file_type
_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 32: "BF16",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """The facts of a GGUF file that a catalogue shows."""

    architecture: str
    name: str
    parameters: int
    context_tokens: int | None
    quantization: str
    chat_template: str
    licence: str


class _Reader:
    def __init__(self, file: BinaryIO, path: Path, *, arrays: bool = False) -> None:
        self._file = file
        self._path = path
        self._arrays = arrays

    def broken(self, why: str) -> RegistryError:
        return RegistryError(
            "GGUF_INVALID",
            f"{self._path.name}: {why}",
            "fetch the file again, and compare its digest with its source's",
        )

    def take(self, size: int) -> bytes:
        content = self._file.read(size)
        if len(content) != size:
            raise self.broken("the header ends early")
        return content

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def bounded(self, most: int, what: str) -> int:
        count: int = self.number("<Q")
        if count > most:
            raise self.broken(f"{count} {what} are too many")
        return count

    def string(self) -> str:
        size = self.bounded(_LONGEST_STRING, "bytes of a string")
        return self.take(size).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            item = self.number("<I")
            count = self.bounded(1 << 24, "items of an array")
            digest = hashlib.sha256() if self._arrays else None
            if item in _SCALARS:
                content = self.take(count * struct.calcsize(_SCALARS[item]))
                if digest is not None:
                    digest.update(content)
            elif item == _STRING:
                for _ in range(count):
                    content = self.take(self.bounded(_LONGEST_STRING, "bytes of a string"))
                    if digest is not None:
                        digest.update(len(content).to_bytes(8, "little") + content)
            else:
                raise self.broken(f"an array of type {item}")
            # Vocabularies are large: where they are asked for, their digest stands for them.
            return digest.hexdigest() if digest is not None else None
        if kind not in _SCALARS:
            raise self.broken(f"a value of type {kind}")
        return self.number(_SCALARS[kind])


def metadata_of(file: BinaryIO, name: str, *, arrays: bool = False) -> dict[str, Any]:
    """Return the metadata of a GGUF file's beginning; arrays are left out (None).

    With ``arrays`` the SHA-256 of each array's bytes stands for it.

    Raises RegistryError where it is broken, or longer than what there is of the file.
    """
    return _metadata(_Reader(file, Path(name), arrays=arrays))[0]


def _metadata(reader: _Reader) -> tuple[dict[str, Any], int]:
    if reader.take(4) != MAGIC:
        raise reader.broken("not a GGUF file")
    version = reader.number("<I")
    if version not in _VERSIONS:
        raise reader.broken(f"GGUF version {version} is not known")
    tensors = reader.bounded(_MOST_TENSORS, "tensors")
    pairs = reader.bounded(_MOST_PAIRS, "metadata pairs")
    found = {reader.string(): reader.value(reader.number("<I")) for _ in range(pairs)}
    return found, tensors


def read(path: Path) -> GgufFacts:
    """Return the facts of a GGUF file. Raises RegistryError where its header is broken."""
    with path.open("rb") as file:
        reader = _Reader(file, path)
        metadata, tensors = _metadata(reader)
        parameters = sum(_tensor_size(reader) for _ in range(tensors))
    return _facts(metadata.get, parameters)


def _tensor_size(reader: _Reader) -> int:
    reader.string()
    dimensions = reader.number("<I")
    if dimensions > _MOST_DIMENSIONS:
        raise reader.broken(f"a tensor of {dimensions} dimensions")
    shape = [reader.number("<Q") for _ in range(dimensions)]
    reader.take(4 + 8)  # type, offset
    return math.prod(shape)


def _facts(get: Callable[..., Any], parameters: int) -> GgufFacts:
    architecture = str(get("general.architecture", ""))
    context = get(f"{architecture}.context_length")
    return GgufFacts(
        architecture=architecture,
        name=str(get("general.name", "")),
        parameters=parameters,
        context_tokens=int(context) if context is not None else None,
        quantization=_FILE_TYPES.get(get("general.file_type", -1), ""),
        chat_template=str(get("tokenizer.chat_template", "")),
        licence=str(get("general.license", "")),
    )
