"""No convergence starts a spare query node: what the role loops over, for each member."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

from permafrost.adapters.ansible.knowledge_variables import member_variables
from permafrost.planning.knowledge import members
from tests.golden.ansible.rendering import golden_site

ROLE = Path(__file__).parents[3] / "playbooks" / "roles" / "milvus"


def loops_that_start(file: str) -> list[str]:
    """Return what the tasks of a file loop over that start or restart a unit of each item."""
    tasks: list[dict[str, Any]] = yaml.safe_load((ROLE / file).read_text(encoding="utf-8"))
    units = ((t, t.get("ansible.builtin.systemd_service", {})) for t in tasks)
    return [t["loop"] for t, unit in units if unit.get("state") in ("started", "restarted")]


@pytest.mark.parametrize("file", ["tasks/run.yml", "handlers/main.yml"])
def test_a_spare_is_left_alone_and_everything_else_is_started(file: str) -> None:
    site = golden_site("bergen")
    (loop,) = loops_that_start(file)
    for node in members(site):
        units = member_variables(site, node)["milvus_units"]
        found = NativeEnvironment().from_string(loop).render(milvus_units=units)
        assert list(found) == [unit for unit in units if not unit["is_spare"]]
        assert any(u["is_spare"] for u in units) == any(u["role"] == "query" for u in units)
