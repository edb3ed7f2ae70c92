"""Site files, good and bad: every problem at once, each with path, line and code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from permafrost.errors import Problem, Refused
from permafrost.site.load import load_site
from permafrost.site.model import Site
from permafrost.topology import nodes
from tests.fakes.site import document, write_site
from tests.fakes.sites import EXAMPLES, example


def problems(path: Path) -> tuple[Problem, ...]:
    with pytest.raises(Refused) as caught:
        load_site(path)
    assert caught.value.exit_status == 3
    return caught.value.problems


def found(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> list[tuple[str, str]]:
    values = document()
    edit(values)
    return [(p.code, p.path) for p in problems(write_site(folder, values))]


def test_a_good_file(tmp_path: Path) -> None:
    loaded = load_site(write_site(tmp_path))
    assert loaded.state_dir == tmp_path / "state"
    assert loaded.resolve("secrets/ca.pem") == tmp_path / "secrets/ca.pem"
    assert [str(n.address) for n in nodes(loaded.site)][:2] == ["10.64.1.20", "10.64.1.21"]
    assert nodes(loaded.site)[0].name == "lab-edge-01"


def test_every_problem_of_the_form_at_once(tmp_path: Path) -> None:
    def edit(values: dict[str, Any]) -> None:
        values["colour"] = "blue"
        del values["vcenter"]["cluster"]
        values["inference"]["chat"]["replicas"] = 0
        values["inference"]["chat"]["model"] = "chat@latest"

    assert found(tmp_path, edit) == [
        ("SITE_KEY_MISSING", "vcenter.cluster"),
        ("SITE_VALUE_INVALID", "inference.chat.model"),
        ("SITE_VALUE_INVALID", "inference.chat.replicas"),
        ("SITE_KEY_UNKNOWN", "colour"),
    ]


def test_keys_that_look_like_something_else_are_told_apart(tmp_path: Path) -> None:
    def edit(values: dict[str, Any]) -> None:
        values.update({"": None, "[key]": None, "vcenter.colour": 1})
        values["vcenter"]["colour"] = 1

    assert sorted(found(tmp_path, edit)) == [
        ("SITE_KEY_UNKNOWN", '""'),
        ("SITE_KEY_UNKNOWN", '"[key]"'),
        ("SITE_KEY_UNKNOWN", "vcenter.colour"),
    ]


def test_a_name_that_may_not_be_is_told_at_its_place(tmp_path: Path) -> None:
    def edit(values: dict[str, Any]) -> None:
        values["inference"]["[key]"] = values["inference"].pop("pulse")

    assert found(tmp_path, edit) == [("SITE_VALUE_INVALID", 'inference."[key]"')]


def test_a_problem_names_its_line_and_what_to_do(tmp_path: Path) -> None:
    path = write_site(tmp_path)
    text = path.read_text(encoding="utf-8").replace("min_ready: 2", "min_ready: 3", 1)
    path.write_text(text, encoding="utf-8")
    line = 1 + text.splitlines().index("    min_ready: 3")
    (problem,) = problems(path)
    assert problem.code == "MIN_READY_TOO_HIGH"
    assert f"(line {line})" in problem.message
    assert problem.hint == "set min_ready to at most 2, or raise replicas"


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (
            lambda v: v["inference"]["chat"].update(gpu={"mode": "passthrough"}),
            [("GPU_WITHOUT_DEVICE", "inference.chat.gpu.vendor_device")],
        ),
        (
            lambda v: v["inference"]["chat"]["gpu"].update(mode="none"),
            [("GPU_DEVICE_WITHOUT_MODE", "inference.chat.gpu.mode")],
        ),
        (
            lambda v: v["inference"]["chat"]["gpu"].update(mmio_gib=100),
            [("GPU_MMIO_NOT_POWER_OF_TWO", "inference.chat.gpu.mmio_gib")],
        ),
        (
            lambda v: v["inference"]["pulse"].update(port=8443),
            [("PORT_TAKEN", "inference.pulse.port")],
        ),
        (
            lambda v: v["inference"]["pulse"].update(port=22),
            [("PORT_TAKEN", "inference.pulse.port")],
        ),
        (
            lambda v: v["inference"].update(edge=v["inference"].pop("pulse")),
            [("ENDPOINT_NAME_RESERVED", "inference.edge")],
        ),
        (
            lambda v: v.update(edge={"nodes": 2}),
            [("EDGE_VIP_MISSING", "edge.vip")],
        ),
        (
            lambda v: v.update(edge={"vip": "10.64.2.10"}),
            [("EDGE_VIP_OUTSIDE_SUBNET", "edge.vip")],
        ),
        (
            lambda v: v.update(edge={"vip": "10.64.1.25"}),
            [("EDGE_VIP_TAKEN", "edge.vip")],
        ),
        (
            lambda v: v["network"].update(gateway="10.65.1.1"),
            [("GATEWAY_OUTSIDE_SUBNET", "network.gateway")],
        ),
        (
            lambda v: v["network"].update(gateway="10.64.1.30"),
            [("GATEWAY_IN_ADDRESSES", "network.addresses")],
        ),
        (
            lambda v: v["network"].update(addresses="10.64.1.250-10.64.2.20"),
            [("ADDRESSES_OUTSIDE_SUBNET", "network.addresses")],
        ),
        (
            lambda v: v["network"].update(addresses="10.64.1.200-10.64.1.255"),
            [("ADDRESSES_OUTSIDE_SUBNET", "network.addresses")],
        ),
        (
            lambda v: v["network"].update(addresses="10.64.1.20-10.64.1.22"),
            [("ADDRESSES_TOO_FEW", "network.addresses")],
        ),
        (
            lambda v: v["network"].update(addresses="10.64.1.99-10.64.1.20"),
            [("ADDRESSES_MALFORMED", "network.addresses")],
        ),
        (
            lambda v: v["network"].update(addresses="10.64.1-10.64.1.99"),
            [("ADDRESSES_MALFORMED", "network.addresses")],
        ),
        (
            lambda v: v["vcenter"].update(ca_file="secrets/nothing"),
            [("FILE_UNREADABLE", "vcenter.ca_file")],
        ),
    ],
)
def test_rules_of_several_keys(
    tmp_path: Path, edit: Callable[[dict[str, Any]], Any], expected: list[tuple[str, str]]
) -> None:
    assert found(tmp_path, edit) == expected


def test_a_single_replica_needs_only_itself(tmp_path: Path) -> None:
    values = document()
    values["inference"]["chat"].update(replicas=1, min_ready=1)
    load_site(write_site(tmp_path, values))
    values["inference"]["chat"].update(replicas=1, min_ready=2)
    (problem,) = problems(write_site(tmp_path, values))
    assert problem.code == "MIN_READY_TOO_HIGH"


def test_files_that_others_may_read_and_empty_ones(tmp_path: Path) -> None:
    path = write_site(tmp_path)
    (tmp_path / "secrets/registry").chmod(0o644)
    (tmp_path / "secrets/key.asc").write_text("")
    assert [(p.code, p.path) for p in problems(path)] == [
        ("FILE_EMPTY", "packages.key_file"),
        ("SECRET_FILE_OPEN", "registry.password_file"),
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: [1", "SITE_FILE_NOT_YAML"),
        ("just words", "SITE_FILE_NOT_A_SITE"),
        ("", "SITE_FILE_NOT_A_SITE"),
        ("a: 1\na: 2\n", "SITE_KEY_TWICE"),
        ("a: &x [*x]\n", "SITE_KEY_MISSING"),
    ],
)
def test_files_that_are_no_site(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(text, encoding="utf-8")
    assert problems(path)[0].code == code


def test_no_file(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path / "nowhere.yaml")
    assert problem.code == "SITE_FILE_UNREADABLE"
    assert "PERMAFROST_SITE" in problem.hint


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_schema_takes_what_is_valid_and_refuses_what_is_not(name: str) -> None:
    check = Draft202012Validator(Site.model_json_schema(by_alias=True))
    values = example(name)
    assert list(check.iter_errors(values)) == []
    values["vcenter"]["colour"] = "blue"
    values["inference"]["assistant"]["replicas"] = "three"
    values["edge"] = {"nodes": 0}
    del values["registry"]["url"]
    assert {".".join(map(str, e.absolute_path)) for e in check.iter_errors(values)} == {
        "vcenter",
        "inference.assistant.replicas",
        "edge.nodes",
        "registry",
    }


def test_every_key_of_the_schema_is_a_key_of_the_file() -> None:
    schema = Site.model_json_schema(by_alias=True)
    assert set(document()) <= set(schema["properties"])
    assert schema["additionalProperties"] is False
