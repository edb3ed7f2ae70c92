"""From the state of before and the inputs of now: the state to be, and how the two differ.

Pure: both are tables of values, and nothing here knows vCenter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lab.provider.paths import map_path, top_level
from lab.provider.schema import Kind, Prop, Schema
from lab.provider.values import DEFAULTS, UNKNOWN, Props, has_unknown, is_zero

KEEP = frozenset({"__meta", "id"})


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


def plan(schema: Schema, olds: Props | None, news: Props) -> Props:
    """Return the state that shall be; UNKNOWN is what only vCenter will tell."""
    planned: Props = {}
    for key, prop in schema.items():
        old = None if olds is None else olds.get(key)
        planned[key] = _plan_value(prop, old, news.get(key), creating=olds is None)
    for key in KEEP:
        if olds is not None and key in olds:
            planned[key] = olds[key]
    return planned


def _plan_value(prop: Prop, old: Any, new: Any, *, creating: bool) -> Any:
    if prop.output:
        waits = creating or (old is None and prop.kind is Kind.LIST)
        return UNKNOWN if waits else old
    if new is None:
        return _plan_unsaid(prop, old, creating=creating)
    if new == UNKNOWN:
        return new
    if prop.kind is Kind.OBJECT and prop.fields:
        return _plan_object(prop, old, new, creating=creating)
    if prop.kind is Kind.LIST and prop.fields:
        before = old if isinstance(old, list) else []
        return [
            _plan_object(prop, before[i], item, creating=creating)
            if i < len(before)
            else _plan_object(prop, None, item, creating=True)
            for i, item in enumerate(new)
        ]
    if prop.kind in (Kind.LIST, Kind.SET) and has_unknown(new):
        return UNKNOWN if prop.kind is Kind.SET else new
    return new


def _plan_unsaid(prop: Prop, old: Any, *, creating: bool) -> Any:
    if prop.implied is not None and (creating or not prop.computed):
        return prop.implied
    if creating:
        return UNKNOWN if prop.computed else None
    if prop.computed or is_zero(old):
        return old
    return {Kind.LIST: [], Kind.SET: [], Kind.MAP: {}}.get(prop.kind)


def _plan_object(prop: Prop, old: Any, new: Props, *, creating: bool) -> Props:
    before = old if isinstance(old, dict) else {}
    fresh = creating or not isinstance(old, dict)
    return {
        key: _plan_value(item, before.get(key), new.get(key), creating=fresh)
        for key, item in prop.fields.items()
    }


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


def settle(schema: Schema, planned: Props, state: Props) -> Props:
    """Return a new state in which an unplanned collection that came back empty is none."""
    return {
        key: _settle(schema[key], planned.get(key), value) if key in schema else value
        for key, value in state.items()
    }


def _settle(prop: Prop, planned: Any, value: Any) -> Any:
    if prop.is_collection and not prop.output and planned is None and not value:
        return None
    if prop.kind is Kind.OBJECT and isinstance(value, dict) and isinstance(planned, dict):
        return settle(prop.fields, planned, value)
    return value


def known(planned: Props) -> Props:
    """Return a planned state with none where vCenter has not told yet."""
    return {key: _known(value) for key, value in planned.items()}


def _known(value: Any) -> Any:
    if isinstance(value, dict):
        return known(value)
    if isinstance(value, list):
        return [_known(v) for v in value]
    return None if value == UNKNOWN else value


def refreshed_inputs(inputs: Props, state: Props) -> Props:
    """Return the inputs with what a refresh found in place of what was said."""
    out: Props = {}
    for key, value in inputs.items():
        if key == DEFAULTS:
            if value:
                out[key] = value
        elif key in state and state[key] is not None:
            out[key] = _refreshed(value, state[key])
    return out


def _refreshed(value: Any, state: Any) -> Any:
    if isinstance(value, dict) and isinstance(state, dict):
        if DEFAULTS in value:
            return refreshed_inputs(value, state)
        return state
    if isinstance(value, list) and isinstance(state, list) and len(value) == len(state):
        return [_refreshed(v, s) for v, s in zip(value, state, strict=True)]
    return state


def imported_inputs(schema: Schema, state: Props) -> Props:
    """Return the inputs that a program would need to describe an imported resource."""
    out: Props = {DEFAULTS: []}
    for key, prop in schema.items():
        value = state.get(key)
        if prop.output or value is None or value == prop.default:
            continue
        if is_zero(value) and prop.default is None and not prop.required:
            continue
        if prop.fields and isinstance(value, list):
            out[key] = [imported_inputs(prop.fields, item) for item in value]
        elif prop.fields and isinstance(value, dict):
            out[key] = imported_inputs(prop.fields, value)
        else:
            out[key] = value
    return out
