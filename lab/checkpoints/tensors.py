"""A GGUF file written anew with other tensors; everything else in it stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType
from gguf.quants import dequantize, quantize

Change = Callable[[str, np.ndarray, GGMLQuantizationType], tuple[np.ndarray, GGMLQuantizationType]]
"""From a tensor's name, values and quantisation to its new values and quantisation."""


_FILE_TYPE = "general.file_type"


def rewritten(
    source: Path, target: Path, change: Change, file_type: LlamaFileType | None = None
) -> Path:
    """Write ``source`` to ``target`` with each quantised tensor changed; returns ``target``.

    ``file_type`` is what the file says of its quantisation, where that is another now.
    """
    reader = GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = GGUFWriter(target, architecture)
    for field in reader.fields.values():
        if field.name == "general.architecture" or field.name.startswith("GGUF."):
            continue
        if field.name == _FILE_TYPE and file_type is not None:
            writer.add_file_type(file_type)
            continue
        sub = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=sub)
    for name, values, kind in _changed(reader, change):
        writer.add_tensor(name, values, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def _changed(
    reader: GGUFReader, change: Change
) -> Iterator[tuple[str, np.ndarray, GGMLQuantizationType]]:
    for tensor in reader.tensors:
        before = tensor.tensor_type
        if before is GGMLQuantizationType.F32:
            yield tensor.name, tensor.data, before
            continue
        values = dequantize(tensor.data, before)
        new, kind = change(tensor.name, values, before)
        if new is values and kind == before:
            yield tensor.name, tensor.data, before
        else:
            yield tensor.name, quantize(new.astype(np.float32), kind), kind
