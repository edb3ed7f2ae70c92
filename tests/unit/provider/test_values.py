"""Values on the wire."""

from __future__ import annotations

from lab.provider.values import SECRET, SIGNATURE, UNKNOWN, from_struct, has_unknown, to_struct


def test_values_come_back_as_they_went() -> None:
    values = {"a": 1, "b": 1.5, "c": [None, True, "x"], "d": {"e": -3}}
    assert from_struct(to_struct(values)) == values


def test_secrets_are_unwrapped() -> None:
    wrapped = {"s": {SIGNATURE: SECRET, "value": {"k": [2]}}}
    assert from_struct(to_struct(wrapped)) == {"s": {"k": [2]}}


def test_unknown_is_found_at_any_depth() -> None:
    assert has_unknown({"a": [{"b": UNKNOWN}]})
    assert not has_unknown({"a": [{"b": "known"}]})
