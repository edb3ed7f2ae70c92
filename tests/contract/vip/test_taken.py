"""keepalived takes what it is told for every value that a site file and the role accept."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from permafrost import topology
from permafrost.adapters.ansible.variables import host_variables
from permafrost.site.model import Site
from tests.contract.vip.edges import EDGES
from tests.contract.vip.machines import LINK
from tests.golden.ansible.rendering import PUBLIC, ROOT, SECRET, SITE, render

NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
WHOLE_SECONDS = re.compile(r"invalid number '0\.5'|script interval '0\.5' must be between")
"""What keepalived 2.2, of an earlier Debian than nodes have, says of half a second."""

LONGEST = "o" * 20
ACCEPTED: dict[str, dict[str, Any]] = {
    "as-it-is": {},
    "first-id": {"edge": {"vrrp_id": 1}},
    "last-id": {"edge": {"vrrp_id": 255}},
    "most-edges": {"edge": {"nodes": 9}},
    "long-name": {"site": LONGEST},
    "small-subnet": {"network": {"subnet": "10.20.0.0/27", "addresses": "10.20.0.12-10.20.0.30"}},
    "large-subnet": {"network": {"subnet": "10.0.0.0/8"}},
}
ROLE = {"shortest": 10, "longest": 40950, "odd": 130}
REFUSED = {"id": {"keepalived_router_id": 256}, "time": {"keepalived_advertise_ms": 5}}


def site_with(edits: dict[str, Any]) -> Site:
    """Return the golden site with other values, as the site file's model takes it."""
    text = yaml.safe_load(SITE.read_text())
    for key, value in edits.items():
        text[key] = {**text[key], **value} if isinstance(value, dict) else value
    return Site.model_validate(text)


def told(site: Site) -> list[dict[str, Any]]:
    """Return what each edge of a site is told."""
    edges = [n for n in topology.nodes(site) if not n.endpoint]
    return [host_variables(site, n, PUBLIC, SECRET).plain for n in edges]


def configurations() -> dict[str, str]:
    """Return what keepalived is given, by a name."""
    given = {
        f"{name}-{i}": plain
        for name, edits in ACCEPTED.items()
        for i, plain in enumerate(told(site_with(edits)))
    }
    first = told(site_with({}))[0]
    given |= {name: {**first, "keepalived_advertise_ms": ms} for name, ms in ROLE.items()}
    given |= {f"refused-{name}": {**first, **more} for name, more in REFUSED.items()}
    return {
        name: render("keepalived/keepalived.conf.j2", EDGES[0], keepalived_interface=LINK, **plain)
        for name, plain in given.items()
    }


def test_it_takes_what_is_accepted_and_says_what_it_does_not(tmp_path: Path) -> None:
    for name, text in configurations().items():
        (tmp_path / f"{name}.conf").write_text(text)
    command = [*NAMESPACES, sys.executable, "-m", "tests.contract.vip.taken", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = {
        name: [line for line in lines if not WHOLE_SECONDS.search(line)]
        for name, lines in json.loads(done.stdout).items()
    }
    assert len(said) == len(configurations())
    refused = {name for name, lines in said.items() if lines}
    assert refused == {f"refused-{name}" for name in REFUSED}, said


@pytest.mark.parametrize("number", [0, 256])
def test_a_site_file_cannot_say_what_it_refuses(number: int) -> None:
    with pytest.raises(ValidationError, match="vrrp_id"):
        site_with({"edge": {"vrrp_id": number}})
