"""Safetensors: a length, a JSON header of that length, the tensors.

Format: https://github.com/huggingface/safetensors#format. The header says where the tensors end,
so a file that was cut off is known without reading it.
"""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from pathlib import Path
from typing import Any

from model_registry.errors import RegistryError
from model_registry.metadata.facts import Facts

_LONGEST_HEADER = 100_000_000


def read(paths: list[tuple[str, Path]]) -> Facts:
    """Return the facts of a checkpoint's safetensors files, which may be shards of one."""
    sizes: Counter[str] = Counter()
    for name, path in paths:
        sizes += _sizes(name, path)
    precision = sizes.most_common(1)[0][0] if sizes else ""
    return Facts(format="safetensors", parameters=sizes.total() or None, precision=precision)


def _sizes(name: str, path: Path) -> Counter[str]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))[0]
        start = file.read(1)
        if start != b"{" or length > _LONGEST_HEADER:
            return Counter()  # under that name, but something else: nothing is known of it
        if 8 + length > size:
            raise _broken(name, "it ends within its header")
        content = start + file.read(length - 1)
    try:
        header = json.loads(content)
        tensors = [v for k, v in header.items() if k != "__metadata__"]
        ends = [int(t["data_offsets"][1]) for t in tensors]
        found: Counter[str] = Counter()
        for tensor in tensors:
            found[str(tensor["dtype"])] += math.prod(_dimension(d) for d in tensor["shape"])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise _broken(name, f"its header is broken ({error})") from error
    if 8 + length + max(ends, default=0) != size:
        raise _broken(
            name, f"{size} bytes, its header speaks of {8 + length + max(ends, default=0)}"
        )
    return found


def _dimension(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 40:
        raise ValueError(f"a dimension of {value!r}")
    return value


def _broken(name: str, why: str) -> RegistryError:
    return RegistryError("SAFETENSORS_INVALID", f"{name}: {why}", "fetch the file again")
