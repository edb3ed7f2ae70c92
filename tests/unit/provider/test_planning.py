"""Plans and differences of tables of values."""

from __future__ import annotations

import pytest

from lab.provider.comparison import Change, Difference, compare
from lab.provider.paths import path_keys, with_values_of
from lab.provider.planning import (
    imported_inputs,
    plan,
    refreshed_inputs,
    settle,
)
from lab.provider.schema import flag, mapping, objects, text, text_set, texts, whole
from lab.provider.values import UNKNOWN

SCHEMA = {
    "name": text(),
    "note": text(computed=True),
    "size": whole(default=1),
    "on": flag(),
    "cluster": text(replaces=True),
    "labels": mapping(),
    "members": text_set(),
    "devices": texts(),
    "disks": objects({"label": text(), "size": whole(), "key": whole(output=True)}),
    "uuid": text(output=True),
}
STATE = {
    "id": "u1",
    "name": "n",
    "note": "by vCenter",
    "size": 1,
    "on": False,
    "cluster": "c1",
    "labels": {"a.b": "1"},
    "members": ["m1", "m2"],
    "devices": ["d1"],
    "disks": [{"label": "one", "size": 10, "key": 200}],
    "uuid": "u1",
}
INPUTS = {
    "name": "n",
    "size": 1,
    "cluster": "c1",
    "labels": {"a.b": "1"},
    "members": ["m2", "m1"],
    "devices": ["d1"],
    "disks": [{"label": "one", "size": 10}],
}


def difference(news: dict[str, object]) -> dict[str, str]:
    planned = plan(SCHEMA, STATE, news)
    return {p: c.value for p, c in compare(SCHEMA, STATE, planned).detail.items()}


def test_the_same_inputs_are_no_difference() -> None:
    assert difference(INPUTS) == {}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": "m"}, {"name": "UPDATE"}),
        ({"on": True}, {"on": "UPDATE"}),
        ({"note": "by hand"}, {"note": "UPDATE"}),
        ({"cluster": "c2"}, {"cluster": "UPDATE_REPLACE"}),
        ({"labels": {"a.b": "2"}}, {'labels["a.b"]': "UPDATE"}),
        ({"labels": {"a.b": "1", "c": "3"}}, {"labels.c": "ADD"}),
        ({"labels": {}}, {"labels": "DELETE"}),
        ({"members": ["m1", "m2", "m3"]}, {"members[2]": "ADD"}),
        ({"members": ["m1"]}, {"members[1]": "DELETE"}),
        ({"devices": []}, {"devices": "DELETE"}),
        ({"devices": ["d2"]}, {"devices[0]": "UPDATE"}),
        ({"disks": [{"label": "one", "size": 20}]}, {"disks[0].size": "UPDATE"}),
        (
            {"disks": [{"label": "one", "size": 10}, {"label": "two", "size": 5}]},
            {"disks[1]": "ADD"},
        ),
    ],
)
def test_each_change_has_its_path(change: dict[str, object], expected: dict[str, str]) -> None:
    assert difference({**INPUTS, **change}) == expected


def test_what_vcenter_may_decide_is_not_taken_away() -> None:
    without = {k: v for k, v in INPUTS.items() if k != "devices"}
    assert difference(without) == {"devices": "DELETE"}
    assert plan(SCHEMA, STATE, INPUTS)["note"] == "by vCenter"


def test_a_new_resource_knows_what_it_does_not_know() -> None:
    planned = plan(SCHEMA, None, INPUTS)
    assert planned["uuid"] == planned["note"] == planned["disks"][0]["key"] == UNKNOWN
    assert planned["on"] is None


def test_ignored_paths_are_left_out() -> None:
    found = Difference({"clone.a": Change.UPDATE, "clone": Change.ADD, "cloned": Change.ADD})
    assert set(found.without(["clone"]).detail) == {"cloned"}


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("clone", ["clone"]),
        ("clone.templateUuid", ["clone", "templateUuid"]),
        ("disks[0].size", ["disks", 0, "size"]),
        ('extraConfig["guestinfo.userdata"]', ["extraConfig", "guestinfo.userdata"]),
    ],
)
def test_property_paths(path: str, keys: list[str | int]) -> None:
    assert path_keys(path) == keys


def test_ignored_values_are_those_of_before() -> None:
    news = {"labels": {"a.b": "new", "c": "3"}, "disks": [{"size": 5}]}
    olds = {"labels": {"a.b": "old"}, "disks": [{"size": 9}]}
    assert with_values_of(news, olds, ["labels", "a.b"])["labels"] == {"a.b": "old", "c": "3"}
    assert with_values_of(news, olds, ["disks", 0, "size"])["disks"] == [{"size": 9}]
    assert with_values_of(news, olds, ["nonesuch", "x"]) == news
    assert news["labels"] == {"a.b": "new", "c": "3"}


def test_an_unplanned_collection_that_is_empty_is_none() -> None:
    planned = {"labels": None, "members": ["m"], "devices": []}
    state = {"labels": {}, "members": [], "devices": []}
    assert settle(SCHEMA, planned, state) == {"labels": None, "members": [], "devices": []}


def test_a_refresh_puts_what_is_in_place_of_what_was_said() -> None:
    inputs = {"size": 1, "labels": {"a": "1"}, "__defaults": ["size"]}
    assert refreshed_inputs(inputs, {"size": 2, "labels": {"a": "2"}, "name": "n"}) == {
        "size": 2,
        "labels": {"a": "2"},
        "__defaults": ["size"],
    }


def test_an_import_describes_what_is_not_default() -> None:
    state = {"name": "n", "size": 1, "on": False, "uuid": "u", "disks": [{"label": "l", "key": 1}]}
    assert imported_inputs(SCHEMA, state) == {
        "__defaults": [],
        "name": "n",
        "disks": [{"__defaults": [], "label": "l"}],
    }
