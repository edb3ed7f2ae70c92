"""Renders what lands on a machine, from the site file through variables and role defaults.

The filters are those of Ansible that the templates use; whether Ansible agrees is seen on real
machines by the acceptance tests.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml

from permafrost import topology
from permafrost.adapters.ansible.variables import (
    PublicMaterial,
    SecretMaterial,
    Variables,
    host_variables,
)
from permafrost.site.model import Site

ROOT = Path(__file__).resolve().parents[3]
TEMPLATES = ROOT / "templates"
ROLES = ROOT / "playbooks" / "roles"
SITE = Path(__file__).parent / "site.yaml"
FILES = {
    "oslo": "site.yaml",
    "bergen": "knowledge.yaml",
    "narvik": "external_store.yaml",
    "hamar": "encrypted.yaml",
    "tromso": "registry.yaml",
}
SITES = {name: Path(__file__).parent / file for name, file in FILES.items()}

PUBLIC = PublicMaterial("(package key)\n", "(registry ca)\n", "(site ca)\n")
SECRET = SecretMaterial(
    "(registry password)",
    "(certificate)\n",
    "(private key)\n",
    "(object store password)",
    "(reader's password)",
    "(upload secret)",
)


def golden_site(name: str) -> Site:
    """Return one of the golden sites."""
    return Site.model_validate(yaml.safe_load(SITES[name].read_text()))


@cache
def variables(node: str) -> Variables:
    """Return the variables of a node of the golden site that its name begins with."""
    site = golden_site(node.partition("-")[0])
    found = {n.name: n for n in topology.nodes(site)}[node]
    public = replace(PUBLIC, object_store_ca="(s3 ca)\n") if site.site == "narvik" else PUBLIC
    return host_variables(site, found, public, SECRET)


def defaults() -> dict[str, Any]:
    """Return the defaults of all roles."""
    merged: dict[str, Any] = {}
    for file in sorted(ROLES.glob("*/defaults/main.yml")):
        merged |= yaml.safe_load(file.read_text())
    return merged


def render(template: str, node: str, **more: Any) -> str:
    """Render one template for a node, as the role would."""
    folder = (TEMPLATES / template).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["to_nice_json"] = lambda value: json.dumps(value, indent=4, sort_keys=True)
    environment.filters["b64encode"] = lambda value: base64.b64encode(value.encode()).decode()
    environment.filters["combine"] = _combine
    environment.filters["to_nice_yaml"] = lambda value, **how: yaml.safe_dump(
        value, default_flow_style=False, **how
    )
    found = variables(node)
    context = {**defaults(), **found.plain, **found.secret, **more}
    context["ansible_managed"] = "Ansible managed"
    return environment.get_template(Path(template).name).render(context)


def _combine(*mappings: dict[str, Any], recursive: bool) -> dict[str, Any]:
    assert recursive
    merged: dict[str, Any] = {}
    for mapping in mappings:
        for key, value in mapping.items():
            old = merged.get(key)
            both = isinstance(old, dict) and isinstance(value, dict)
            merged[key] = _combine(old, value, recursive=True) if both else value
    return merged
