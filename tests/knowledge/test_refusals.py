"""What a deployment meets and does not go on with: each is told by its code, and healed after."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.driver import Cli, wait_until
from tests.knowledge.changing import codes, site_said
from tests.knowledge.test_losses import ready

pytestmark = [pytest.mark.soak, pytest.mark.own_lab]
MEMBERS = [f"lab-knowledge-0{i}" for i in (1, 2, 3)]


def refused(permafrost: Cli, *argv: str) -> set[str]:
    done = permafrost.run(*argv, "--output", "json", expect=3, timeout=600)
    return codes(done.stderr)


def test_a_dead_object_store_stops_a_change_of_members(
    permafrost: Cli, lab: Cli, folder: Path
) -> None:
    with site_said(folder, "query: 4", "query: 6"):
        assert permafrost.json("plan")["steps"], "the control: with a store it is planned"
        for member in MEMBERS[1:]:
            unit = f"{member}:minio.service"
            lab.run("fault", "apply", "service-kill", unit, "stay_down=yes")
        try:
            assert "KNOWLEDGE_STORE_DEAD" in refused(permafrost, "plan")
        finally:
            lab.run("fault", "heal", "all")
    wait_until("the tier is ready again", lambda: ready(permafrost), 300, 2)


def test_a_full_disk_stops_a_change_of_members(permafrost: Cli, lab: Cli, folder: Path) -> None:
    path = "/var/lib/permafrost-data"
    with site_said(folder, "query: 4", "query: 6"):
        lab.run("fault", "apply", "disk-full", MEMBERS[2], f"path={path}")
        try:
            assert "KNOWLEDGE_DISK_FULL" in refused(permafrost, "plan")
        finally:
            lab.run("fault", "heal", "all")
    wait_until("the tier is ready again", lambda: ready(permafrost), 300, 2)


def test_a_downgrade_is_refused(permafrost: Cli, folder: Path) -> None:
    with site_said(folder, "version: 2.3.5", "version: 2.3.4"):
        assert "KNOWLEDGE_DOWNGRADE" in refused(permafrost, "plan")
    assert permafrost.json("plan")["steps"] == []


def test_another_control_plane_is_refused(permafrost: Cli, folder: Path) -> None:
    """A second site of one name over the same members: another root secret is another owner."""
    secret = folder / "state" / "secrets" / "milvus-root"
    before = secret.read_bytes()
    secret.write_bytes(b"of-somebody-else")
    try:
        assert "KNOWLEDGE_NAME_TAKEN" in refused(permafrost, "plan")
    finally:
        secret.write_bytes(before)
    assert permafrost.json("plan")["steps"] == []
