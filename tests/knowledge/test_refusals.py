"""What a deployment meets and does not go on with: each is told by its code, and healed after."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.acceptance.driver import Cli, machine, wait_until
from tests.knowledge.changing import codes, require_unnoticed, site_said
from tests.knowledge.driver import Door
from tests.knowledge.test_losses import await_first_coordinators, observed, ready

pytestmark = [pytest.mark.soak, pytest.mark.own_lab]
TLS, CERTIFICATE = "/etc/permafrost/milvus/tls", "KNOWLEDGE_CERTIFICATE"
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


def test_a_proxy_with_a_wrong_certificate_stops_a_drain_and_is_passed_by(
    permafrost: Cli,
    lab: Cli,
    folder: Path,
    door: Door,
    users: dict[str, str],
    known: np.ndarray,
    tmp_path: Path,
) -> None:
    """Another authority's certificate of the right name: edges do not take it for the proxy."""
    await_first_coordinators(permafrost)
    inside = machine(lab, folder / "state", MEMBERS[1])
    theirs = foreign(MEMBERS[1], tmp_path)
    own = {name: inside.check_output("cat %s", f"{TLS}/{name}") for name in theirs}

    def show(files: dict[str, str]) -> None:
        for name, content in files.items():
            inside.check_output("printf '%%s\\n' %s > %s", content, f"{TLS}/{name}")
        inside.check_output("systemctl restart milvus-proxies")

    with observed("wrong-certificate", door, users, known) as history:
        began = history.now()
        try:
            show(theirs)
            wait_until("it is told", lambda: CERTIFICATE in told(permafrost), 120, 2)
            assert refused(permafrost, "drain", MEMBERS[0], "--yes") == {"KNOWLEDGE_NOT_WHOLE"}
        finally:
            show(own)
        wait_until("the tier is ready again", lambda: ready(permafrost), 300, 2)
        ended = history.now()
    require_unnoticed(history, began, ended)
    assert permafrost.json("plan")["steps"] == []


def foreign(name: str, folder: Path) -> dict[str, str]:
    """Return a certificate of another authority and its key, for a member's name."""
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    made = ["-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "2"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", *made, *subject],
        check=True,
        capture_output=True,
    )
    return {"server.pem": certificate.read_text(), "server.key": key.read_text()}


def told(permafrost: Cli) -> set[str]:
    """Return the codes of what the tier lacks, as `status` tells them."""
    return {str(p["code"]) for p in permafrost.json("status")["knowledge"]["problems"]}


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
