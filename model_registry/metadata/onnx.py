"""ONNX: a protocol buffer; only what is asked for is read, tensors are stepped over.

Field numbers are those of onnx.proto (ModelProto, GraphProto, TensorProto).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from model_registry.errors import RegistryError
from model_registry.metadata.facts import Facts

_PRODUCER, _GRAPH = 2, 7
_GRAPH_NAME, _INITIALIZER = 2, 5
_DIMS, _DATA_TYPE = 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_TEXT, _MOST_DIMS = 1 << 16, 64
_TYPES = {
    1: "F32", 2: "U8", 3: "I8", 4: "U16", 5: "I16", 6: "I32", 7: "I64", 9: "BOOL", 10: "F16",
    11: "F64", 16: "BF16", 17: "F8_E4M3", 19: "F8_E5M2", 21: "U4", 22: "I4",
}  # fmt: skip
_INTEGERS = ("I64", "I32", "BOOL")  # shapes and indices, not weights


class _Reader:
    """Steps through messages of a file; never beyond the end of the one it is in."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name

    def broken(self, why: str) -> RegistryError:
        return RegistryError("ONNX_INVALID", f"{self._name}: {why}", "fetch the file again")

    def fields(self, end: int) -> Iterator[tuple[int, int, int]]:
        """Yield number, kind and value (of bytes: their length) of each field until ``end``."""
        while (at := self._file.tell()) < end:
            key = self.varint()
            number, kind = key >> 3, key & 7
            if kind == _VARINT:
                yield number, kind, self.varint()
                continue
            size = {_FIXED64: 8, _FIXED32: 4}.get(kind, -1)
            if kind == _BYTES:
                size = self.varint()
            after = self._file.tell() + size
            if size < 0 or not number or after > end or after <= at:
                raise self.broken(f"no field at byte {at}")
            yield number, kind, size
            self._file.seek(after)

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._file.read(1)
            if not byte:
                raise self.broken("it ends early")
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return value
        raise self.broken("a number of more than ten bytes")

    def position(self) -> int:
        return self._file.tell()

    def text(self, size: int) -> str:
        return self._file.read(min(size, _LONGEST_TEXT)).decode("utf-8", "replace")


def read(name: str, path: Path) -> Facts:
    """Return the facts of an ONNX file."""
    sizes: Counter[str] = Counter()
    graph_name = ""
    with path.open("rb") as file:
        reader = _Reader(file, name)
        for number, kind, size in reader.fields(path.stat().st_size):
            if (number, kind) == (_GRAPH, _BYTES):
                end = reader.position() + size
                for inner, inner_kind, length in reader.fields(end):
                    if (inner, inner_kind) == (_GRAPH_NAME, _BYTES):
                        graph_name = reader.text(length)
                    elif (inner, inner_kind) == (_INITIALIZER, _BYTES):
                        dtype, weights = _tensor(reader, reader.position() + length)
                        sizes[dtype] += weights
    weights_of = {d: n for d, n in sizes.items() if d not in _INTEGERS}
    precision = max(weights_of, key=lambda d: weights_of[d], default="")
    return Facts(
        architecture=graph_name,
        format="onnx",
        parameters=sum(weights_of.values()) or None,
        precision=precision,
    )


def _tensor(reader: _Reader, end: int) -> tuple[str, int]:
    dims, dtype = [], 0
    for number, kind, value in reader.fields(end):
        if number == _DIMS and kind == _VARINT:
            dims.append(value)
        elif number == _DIMS and kind == _BYTES:  # packed
            until = reader.position() + value
            while reader.position() < until:
                dims.append(reader.varint())
        elif number == _DATA_TYPE and kind == _VARINT:
            dtype = value
        if len(dims) > _MOST_DIMS:
            raise reader.broken("a tensor of too many dimensions")
    return _TYPES.get(dtype, f"type {dtype}"), math.prod(dims)
