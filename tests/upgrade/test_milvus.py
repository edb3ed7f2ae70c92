"""Milvus 2.3.4 becomes 2.3.5 under search and insert, member by member: nobody notices."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.acceptance.driver import Cli
from tests.knowledge.changing import codes, nothing_noticed, turns_of
from tests.knowledge.driver import Door

pytestmark = [pytest.mark.soak, pytest.mark.own_lab]
ORDER = ["lab-knowledge-02", "lab-knowledge-01", "lab-knowledge-03"]


def test_the_version_goes_up_one_member_at_a_time(
    permafrost: Cli,
    folder: Path,
    door: Door,
    users: dict[str, str],
    known: np.ndarray,
    next_image: str,
) -> None:
    root = door.client("root", users["root"])
    assert "2.3.4" in root.get_server_version(), "the control: it begins as the version before"
    file = folder / "site.yaml"
    before = file.read_text()
    after = before.replace("version: 2.3.4", "version: 2.3.5")
    after = re.sub(r"(?m)^      milvus: \S+$", f"      milvus: {next_image}", after)
    assert after.count(next_image) == 2
    file.write_text(after)
    with nothing_noticed("upgrade-2.3.4-2.3.5", permafrost, door, users, known):
        permafrost.run("deploy", "--yes", timeout=3000)
    assert [name for _, name in turns_of(permafrost)][:3] == ORDER[::-1]
    assert "2.3.5" in door.client("root", users["root"]).get_server_version()
    assert permafrost.json("deploy", "--yes", timeout=1200)["changed"] == 0
    file.write_text(before)
    done = permafrost.run("plan", "--output", "json", expect=3)
    assert "KNOWLEDGE_DOWNGRADE" in codes(done.stderr)
    file.write_text(after)
