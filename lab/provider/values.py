"""Plain values and the engine's wire form of them."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format, struct_pb2

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine sends, in a preview, for a value that is not known yet."""

DEFAULTS = "__defaults"
"""Key under which Check lists the properties that it filled in by itself."""

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - marks one, is none

Props = dict[str, Any]


def from_struct(struct: struct_pb2.Struct) -> Props:
    """Return the plain values: whole numbers as int, secrets without their wrapping."""
    plain: Props = _plain(json_format.MessageToDict(struct))
    return plain


def to_struct(values: Props) -> struct_pb2.Struct:
    """Return the wire form of plain values."""
    struct = struct_pb2.Struct()
    if values:
        json_format.ParseDict(values, struct)
    return struct


def has_unknown(value: Any) -> bool:
    """Say whether a value, or anything in it, is not known yet."""
    if isinstance(value, dict):
        return any(has_unknown(v) for v in value.values())
    if isinstance(value, list):
        return any(has_unknown(v) for v in value)
    return bool(value == UNKNOWN)


def is_zero(value: Any) -> bool:
    """Say whether a value is what an absent one would be: the two are no difference."""
    return value is None or (value != UNKNOWN and not value)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET and "value" in value:
            return _plain(value["value"])
        return {k: _plain(v) for k, v in value.items()}
    return value
