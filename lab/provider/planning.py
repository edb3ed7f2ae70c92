"""From the state of before and the inputs of now: the state to be.

Pure: both are tables of values, and nothing here knows vCenter.
"""

from __future__ import annotations

from typing import Any

from lab.provider.schema import Kind, Prop, Schema
from lab.provider.values import DEFAULTS, UNKNOWN, Props, has_unknown, is_zero

KEEP = frozenset({"__meta", "id"})


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
