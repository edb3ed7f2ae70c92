"""The layout of Milvus 2.6, word for word: rendered, and marked as run by nothing so far."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from permafrost.adapters.ansible.knowledge_variables import member_variables
from permafrost.planning.knowledge import members, version_of
from permafrost.site.model import Site
from tests.golden.ansible.rendering import golden_site, render

FILES = Path(__file__).parent / "files"


def site_2_6() -> Site:
    values = golden_site("bergen").model_dump(mode="json", by_alias=True)
    values["knowledge"]["milvus"] |= {"version": "2.6", "roles": {"index": 0, "streaming": 3}}
    return Site.model_validate(values)


def compare(name: str, text: str) -> None:
    golden = FILES / name
    if os.environ.get("PERMAFROST_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


def test_which_processes_each_member_has_and_what_they_are_told() -> None:
    site = site_2_6()
    assert not version_of(site).is_verified
    layout = {
        node.name: {
            unit["name"]: {"arguments": unit["arguments"], "environment": unit["environment"]}
            for unit in member_variables(site, node)["milvus_units"]
        }
        for node in members(site)
    }
    settings = member_variables(site, members(site)[0])["milvus_settings"]
    text = yaml.safe_dump({"members": layout, "settings": settings}, width=98)
    compare("milvus-2.6-layout.yaml", text)


def test_the_unit_of_a_streaming_node() -> None:
    site = site_2_6()
    node = members(site)[2]
    variables = member_variables(site, node)
    unit = next(u for u in variables["milvus_units"] if u["role"] == "streaming")
    more = {name: value for name, value in variables.items() if name.startswith("milvus_")}
    text = render("quadlet/milvus.container.j2", node.name, **{**more, "unit": unit})
    compare("milvus-2.6-streaming.container", text)
