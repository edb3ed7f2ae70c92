"""Do these first bytes begin a pickle, of whatever protocol, or an array that holds one?

Protocols 2 to 5 begin with their number. Older ones begin with any opcode, so they are told by
what follows: opcodes that fit their own stack, or an import that is then called.
"""

from __future__ import annotations

import ast
import io
import pickletools
import re
from typing import Any

LOOK = 1 << 16
_ENOUGH = 3
_IMPORTED = re.compile(r"[A-Za-z_][\w.]* [A-Za-z_][\w.]*")
_CALLS = frozenset({"REDUCE", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"})
_NPY = b"\x93NUMPY"
_CUT = re.compile(r"but only \d+ remain|not enough data|no newline found|exhausted before")
_BROKEN = (ValueError, AssertionError, IndexError, KeyError, OverflowError)


def is_pickle(start: bytes) -> bool:
    """Whether the first ``LOOK`` bytes of a file are those of something that gets unpickled."""
    if start.startswith(_NPY):
        return _holds_objects(start)
    return _has_protocol(start) or _calls_an_import(start) or _fits_its_stack(start)


def _has_protocol(start: bytes) -> bool:
    if len(start) < 2 or start[0] != 0x80 or not 2 <= start[1] <= 5:
        return False
    # A safetensors file may begin with these two bytes too; its next ones are no opcodes
    seen = 0
    try:
        for _ in pickletools.genops(io.BytesIO(start)):
            seen += 1
            if seen >= _ENOUGH:
                return True
    except ValueError:
        return len(start) == LOOK and seen > 1  # cut off by us within a long argument
    return True


def _calls_an_import(start: bytes) -> bool:
    """Whether a callable is imported and called before anything that is no pickle."""
    texts, has_import = 0, False
    try:
        for opcode, argument, _ in pickletools.genops(io.BytesIO(start)):
            if opcode.name in ("GLOBAL", "INST"):
                if not _IMPORTED.fullmatch(str(argument)):
                    return False
                has_import = True
                if opcode.name == "INST":
                    return True
            elif opcode.name == "STACK_GLOBAL":
                has_import |= texts >= 2  # the module and the name
            elif isinstance(argument, str):
                texts += 1
            elif has_import and opcode.name in _CALLS:
                return True
    except _BROKEN:
        return False
    return False


class _Lines(io.StringIO):
    """Counts lines and keeps none."""

    lines = 0

    def write(self, text: str) -> int:
        self.lines += text.count("\n")
        return len(text)


def _fits_its_stack(start: bytes) -> bool:
    """Whether the opcodes, up to their end or ours, never take what is not on their stack."""
    told = _Lines()
    try:
        pickletools.dis(io.BytesIO(start), out=told)
    except _BROKEN as error:
        is_cut = len(start) == LOOK and _CUT.search(str(error)) is not None
        return is_cut and told.lines >= _ENOUGH
    return told.lines > _ENOUGH  # the last line is no opcode


def _holds_objects(start: bytes) -> bool:
    """Whether an array of NumPy's format holds Python objects, which it keeps as a pickle."""
    width = 2 if start[6:7] == b"\x01" else 4
    begin = 8 + width
    end = begin + int.from_bytes(start[8:begin], "little")
    if end > LOOK:
        return True  # a header that nobody writes: not looked at, so not trusted
    try:
        header = ast.literal_eval(start[begin:end].decode("latin-1").strip())
        return _has_objects(header["descr"])
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        return False  # no array: NumPy would not load it


def _has_objects(described: Any) -> bool:
    if isinstance(described, str):
        return described.lstrip("<>|=").startswith("O")
    if isinstance(described, list | tuple):
        return any(_has_objects(field[1]) for field in described if len(field) > 1)
    return False
