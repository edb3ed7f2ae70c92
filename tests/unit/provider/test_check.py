"""Check: defaults, coercion, failures."""

from __future__ import annotations

import pytest

from lab.provider.check import check
from lab.provider.errors import ProviderError
from lab.provider.schema import flag, mapping, objects, text, whole
from lab.provider.values import UNKNOWN

SCHEMA = {
    "name": text(),
    "count": whole(default=1),
    "size": whole(required=True),
    "on": flag(),
    "kind": text(choices=("a", "b")),
    "labels": mapping(),
    "hostId": text(),
    "deviceIds": text(needs="hostId"),
    "disks": objects(
        {"label": text(required=True), "mode": text(default="thin")}, terraform="disk"
    ),
    "uuid": text(output=True),
}
SEED = b"seed"


def test_defaults_are_filled_in_and_named() -> None:
    checked = check(SCHEMA, "x", {}, {"name": "n", "size": 2, "disks": [{"label": "d"}]}, SEED)
    assert checked.failures == []
    assert checked.inputs == {
        "name": "n",
        "size": 2,
        "count": 1,
        "disks": [{"label": "d", "mode": "thin", "__defaults": ["mode"]}],
        "__defaults": ["count"],
    }


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"size": "4"}, {"size": 4}),
        ({"size": 2.5}, {"size": 2}),
        ({"on": "true"}, {"on": True}),
        ({"labels": {"a": 1, "b": True}}, {"labels": {"a": "1", "b": "true"}}),
        ({"size": UNKNOWN, "disks": UNKNOWN}, {"size": UNKNOWN, "disks": UNKNOWN}),
    ],
)
def test_values_are_brought_into_their_kind(
    given: dict[str, object], kept: dict[str, object]
) -> None:
    checked = check(SCHEMA, "x", {}, {"name": "n", "size": 1, **given}, SEED)
    assert checked.failures == []
    assert {k: checked.inputs[k] for k in kept} == kept


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"nonesuch": 1}, "Invalid or unknown key. Examine values at 'x.nonesuch'."),
        ({"uuid": "u"}, "Invalid or unknown key. Examine values at 'x.uuid'."),
        (
            {"size": [1]},
            "Attribute must be a single value, not a list. Examine values at 'x.size'.",
        ),
        (
            {"kind": "c"},
            'expected kind to be one of ["a" "b"], got c. Examine values at \'x.kind\'.',
        ),
        (
            {"disks": [{}]},
            'Missing required argument. The argument "disk.0.label" is required, but no '
            "definition was found.. Examine values at 'x.disks[0].label'.",
        ),
        (
            {"deviceIds": "d"},
            'Missing required argument. "device_ids": all of `device_ids,host_id` must be '
            "specified. Examine values at 'x.deviceIds'.",
        ),
    ],
)
def test_what_is_wrong_is_said(given: dict[str, object], reason: str) -> None:
    checked = check(SCHEMA, "x", {}, {"name": "n", "size": 1, **given}, SEED)
    assert checked.failures == [reason]


def test_text_that_is_no_number_is_an_error() -> None:
    with pytest.raises(ProviderError, match=r"strconv\.ParseInt"):
        check(SCHEMA, "x", {}, {"name": "n", "size": "four"}, SEED)


def test_an_automatic_name_is_kept() -> None:
    first = check(SCHEMA, "x", {}, {"size": 1}, b"one").inputs
    assert first["name"].startswith("x-")
    assert "name" in first["__defaults"]
    assert check(SCHEMA, "x", first, {"size": 1}, b"two").inputs["name"] == first["name"]
    assert check(SCHEMA, "x", {}, {"size": 1}, b"two").inputs["name"] != first["name"]
