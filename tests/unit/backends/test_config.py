"""The model configuration that every backend shares."""

from __future__ import annotations

import re

import jinja2

from tests.unit.backends.conftest import TEMPLATES


def test_the_configuration_has_the_names_of_the_vllm_backend() -> None:
    text = jinja2.Template((TEMPLATES / "config.pbtxt.j2").read_text()).render(
        triton_endpoint="chat",
        triton_checkpoint="sha256:" + "a" * 64,
        triton_max_context_tokens=2048,
        triton_max_concurrent=4,
    )
    names = re.findall(
        r'\{ name: "(\w+)" data_type: (\w+) dims: \[ (-?1) \]( optional: true)?', text
    )
    assert names == [
        ("text_input", "TYPE_STRING", "1", ""),
        ("stream", "TYPE_BOOL", "1", " optional: true"),
        ("sampling_parameters", "TYPE_STRING", "1", " optional: true"),
        ("exclude_input_in_output", "TYPE_BOOL", "1", " optional: true"),
        ("raw_prompt", "TYPE_BOOL", "1", " optional: true"),
        ("return_token_ids", "TYPE_BOOL", "1", " optional: true"),
        ("return_logprobs", "TYPE_BOOL", "1", " optional: true"),
        ("text_output", "TYPE_STRING", "-1", ""),
        ("token_ids", "TYPE_INT32", "-1", ""),
        ("logprobs", "TYPE_STRING", "-1", ""),
    ]
    assert text.startswith('name: "chat"\n')
    assert "decoupled: true" in text
    assert dict(re.findall(r'key: "(\w+)" value \{ string_value: "([^"]*)"', text)) == {
        "checkpoint": "sha256:" + "a" * 64,
        "max_context_tokens": "2048",
        "max_concurrent": "4",
    }
