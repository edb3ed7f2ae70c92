"""How the state to be differs from the state of before, property by property. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lab.provider.paths import map_path, top_level
from lab.provider.schema import Kind, Prop, Schema
from lab.provider.values import UNKNOWN, Props, is_zero


class Change(StrEnum):
    """What becomes of one property."""

    ADD = "ADD"
    DELETE = "DELETE"
    UPDATE = "UPDATE"
    ADD_REPLACE = "ADD_REPLACE"
    DELETE_REPLACE = "DELETE_REPLACE"
    UPDATE_REPLACE = "UPDATE_REPLACE"

    @property
    def replaces(self) -> bool:
        """Say whether this change needs another resource in place of this one."""
        return self.value.endswith("_REPLACE")

    def replacing(self) -> Change:
        """Return the same change as one that replaces."""
        return self if self.replaces else Change(self.value + "_REPLACE")


@dataclass
class Difference:
    """All changes of one resource, by path of the property."""

    detail: dict[str, Change] = field(default_factory=dict)
    delete_first: bool = False

    @property
    def changed(self) -> bool:
        """Say whether there is anything to do."""
        return bool(self.detail)

    @property
    def properties(self) -> list[str]:
        """Names of the properties that change."""
        return sorted({top_level(path) for path in self.detail})

    @property
    def replaces(self) -> list[str]:
        """Names of the properties that make it a replacement."""
        return sorted({top_level(p) for p, c in self.detail.items() if c.replaces})

    def without(self, ignored: Iterable[str]) -> Difference:
        """Return the difference without what the program ignores."""
        patterns = tuple(ignored)
        kept = {
            path: change
            for path, change in self.detail.items()
            if not any(path == i or path.startswith((f"{i}.", f"{i}[")) for i in patterns)
        }
        return Difference(kept, self.delete_first)


def compare(schema: Schema, olds: Props, planned: Props) -> Difference:
    """Return what is different between a state and the one that shall be."""
    found = Difference()
    for key, prop in schema.items():
        changes: dict[str, Change] = {}
        _compare(prop, key, olds.get(key), planned.get(key), changes)
        for path, change in changes.items():
            found.detail[path] = change.replacing() if prop.replaces else change
    found.delete_first = bool(found.replaces)
    return found


def _compare(prop: Prop, path: str, old: Any, new: Any, out: dict[str, Change]) -> None:
    if old == new or (is_zero(old) and is_zero(new)):
        return
    if prop.is_collection or prop.kind is Kind.OBJECT:
        if old is None or (prop.is_collection and not old):
            out[path] = Change.ADD
        elif is_zero(new) and (new is None or prop.is_collection):
            out[path] = Change.DELETE
        elif new == UNKNOWN:
            out[path] = Change.UPDATE
        else:
            _compare_inside(prop, path, old, new, out)
    elif old is None:
        out[path] = Change.ADD
    else:
        out[path] = Change.DELETE if new is None else Change.UPDATE


def _compare_inside(prop: Prop, path: str, old: Any, new: Any, out: dict[str, Change]) -> None:
    match prop.kind:
        case Kind.OBJECT:
            for key, item in prop.fields.items():
                _compare(item, f"{path}.{key}", old.get(key), new.get(key), out)
        case Kind.MAP:
            for key in sorted(set(old) | set(new)):
                if old.get(key) != new.get(key):
                    out[map_path(path, key)] = _scalar_change(old.get(key), new.get(key))
        case Kind.SET:
            _compare_sets(path, old, new, out)
        case Kind.LIST:
            for i in range(max(len(old), len(new))):
                before = old[i] if i < len(old) else None
                after = new[i] if i < len(new) else None
                if prop.fields and before is not None and after is not None:
                    _compare(_as_object(prop), f"{path}[{i}]", before, after, out)
                elif before != after:
                    out[f"{path}[{i}]"] = _scalar_change(before, after)


def _compare_sets(path: str, old: list[str], new: list[str], out: dict[str, Change]) -> None:
    for i, value in enumerate(old):
        if value not in new:
            out[f"{path}[{i}]"] = Change.DELETE
    for i, value in enumerate(new):
        if value not in old:
            at = f"{path}[{i}]"
            out[at] = Change.UPDATE if at in out else Change.ADD


def _as_object(prop: Prop) -> Prop:
    return Prop(Kind.OBJECT, fields=prop.fields)


def _scalar_change(old: Any, new: Any) -> Change:
    if old is None:
        return Change.ADD
    return Change.DELETE if new is None else Change.UPDATE
