"""The whole site removed, members of the knowledge tier and their protected disks with it.

Its own file, after the others by name: what they share is gone then.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.acceptance.driver import Cli

pytestmark = [
    pytest.mark.soak,
    pytest.mark.own_lab,
    pytest.mark.skipif(
        "PERMAFROST_SITE" in os.environ and "PERMAFROST_MAY_REMOVE" not in os.environ,
        reason="a site that somebody named is not removed: set PERMAFROST_MAY_REMOVE",
    ),
]


def test_destroy_lifts_the_protection_and_leaves_nothing(
    permafrost: Cli, lab: Cli, folder: Path
) -> None:
    (stack,) = folder.glob("state/pulumi/**/stacks/**/lab.json")
    resources = json.loads(stack.read_text())["checkpoint"]["latest"]["resources"]
    protected = [r["urn"].rpartition("::")[2] for r in resources if r.get("protect")]
    assert sorted(protected) == [f"lab-knowledge-0{i}" for i in (1, 2, 3)], "the control"
    assert sum("-knowledge-" in m["name"] for m in lab.json("status")["machines"]) == 3
    permafrost.run("destroy", "--yes", timeout=1200)
    assert lab.json("status")["machines"] == []
    assert not list((folder / "machines").glob("*-knowledge-*"))
