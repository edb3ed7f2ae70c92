"""Variables and roles agree: what a role requires is given, and nothing is given in vain."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.golden.ansible.rendering import ROLES, variables

NODES = {
    "edge": "bergen-edge-01",
    "inference": "oslo-chat-02",
    "knowledge": "bergen-knowledge-01",
    "registry": "tromso-registry-01",
}
TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "bool": bool,
    "list": list,
    "dict": dict,
    "path": str,
}


def _spec(role: str) -> dict[str, Any]:
    text = (ROLES / role / "meta" / "argument_specs.yml").read_text()
    return dict(yaml.safe_load(text)["argument_specs"]["main"]["options"])


def _roles(tier: str) -> list[str]:
    playbook = yaml.safe_load((ROLES.parent / f"{tier}.yml").read_text())
    names = [role["role"] for play in playbook for role in play["roles"]]
    for name in list(names):
        meta = ROLES / name / "meta" / "main.yml"
        if meta.exists():
            names += [d["role"] for d in yaml.safe_load(meta.read_text())["dependencies"]]
    return names


def _given(tier: str) -> dict[str, Any]:
    found = variables(NODES[tier])
    return {**found.plain, **found.secret, "permafrost_node_package": "/somewhere"}


def _check(name: str, value: Any, option: dict[str, Any]) -> None:
    kind = TYPES[option["type"]]
    assert isinstance(value, kind), name
    assert not (option["type"] == "int" and isinstance(value, bool)), name
    assert value in option.get("choices", [value]), name
    for entry in value if option["type"] == "list" else [value]:
        for key, inner in option.get("options", {}).items():
            assert key in entry or not inner.get("required"), f"{name}.{key}"
            if key in entry:
                _check(f"{name}.{key}", entry[key], inner)
        if "options" in option:
            assert set(entry) <= set(option["options"]), name


@pytest.mark.parametrize("tier", NODES)
def test_each_role_gets_what_it_requires_in_the_right_shape(tier: str) -> None:
    given = _given(tier)
    for role in _roles(tier):
        for name, option in _spec(role).items():
            assert name in given or not option.get("required"), f"{role} lacks {name}"
            if name in given:
                _check(name, given[name], option)


@pytest.mark.parametrize("tier", NODES)
def test_nothing_is_given_that_no_role_of_the_tier_knows(tier: str) -> None:
    known = {name for role in _roles(tier) for name in _spec(role)}
    assert set(_given(tier)) - {"permafrost_node_package"} <= known


@pytest.mark.parametrize("role", sorted(p.name for p in ROLES.iterdir()))
def test_a_role_declares_each_default(role: str) -> None:
    file = ROLES / role / "defaults" / "main.yml"
    defaults = yaml.safe_load(file.read_text()) if file.exists() else {}
    assert set(defaults) <= set(_spec(role))


@pytest.mark.parametrize("tier", NODES)
def test_secrets_are_declared_as_such(tier: str) -> None:
    hidden = {n for role in _roles(tier) for n, o in _spec(role).items() if o.get("no_log")}
    assert set(variables(NODES[tier]).secret) == hidden & set(_given(tier))
