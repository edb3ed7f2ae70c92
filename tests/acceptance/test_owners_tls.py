"""The edges show a certificate that the site's owner brings, and another one, under load.

The recorder trusts the owner's authority. The control puts one of a stranger in its place: the
same recorder must see requests fail.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.driver import Cli, traffic, wait_until
from tests.fakes.owners import Certified, certify

pytestmark = pytest.mark.soak

NAMES = ("pulse.example.com", "chat.example.com")
RATE, AT_MOST_S = 40, 900


@dataclass(frozen=True)
class Owner:
    """What the owner does: puts files down, and deploys."""

    site_file: Path
    permafrost: Cli

    def bring(self, one: Certified, root: Certified) -> None:
        """Put a certificate, its root behind it, where the site file says."""
        folder = self.site_file.parent
        (folder / "edge.key").write_bytes(one.key_pem)
        (folder / "edge.key").chmod(0o600)
        (folder / "edge.pem").write_bytes(one.pem + root.pem)

    def deploy(self) -> None:
        self.permafrost.run("deploy", "--yes", timeout=900)

    def shown(self) -> set[str]:
        """Return the certificates that the edges show, on each address of each endpoint."""
        status = self.permafrost.json("status")
        addresses = {e["address"] for e in status["edges"]}
        served = [e["address"] for e in status["endpoints"]]
        addresses |= {a.partition(":")[0] for a in served}
        ports = {int(a.partition(":")[2]) for a in served}
        return {ssl.get_server_certificate((a, p)) for a in addresses for p in ports}


@pytest.fixture
def owner(site_file: Path, permafrost: Cli) -> Iterator[Owner]:
    before = site_file.read_text(encoding="utf-8")
    values: dict[str, Any] = yaml.safe_load(before)
    values["edge"]["tls"] = {"certificate_file": "edge.pem", "key_file": "edge.key"}
    made = Owner(site_file, permafrost)
    site_file.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    try:
        yield made
    finally:
        site_file.write_text(before, encoding="utf-8")
        made.deploy()


def test_an_owners_certificate_is_shown_and_replaced_and_nobody_notices(
    owner: Owner, permafrost: Cli, lab: Cli, tmp_path: Path
) -> None:
    root, stranger = (certify(n, is_authority=True) for n in ("root", "stranger"))
    first, second = (certify("edge", root, names=NAMES) for _ in range(2))
    owner.bring(first, root)
    owner.deploy()
    assert owner.shown() == {first.pem.decode()}
    assert permafrost.json("ask", "chat", "What is the capital of France?")["text"]

    with traffic(
        lab, "pulse", RATE, AT_MOST_S, 0.3, tmp_path / "replaced.jsonl", "--fresh"
    ) as load:
        load.await_steady()
        owner.bring(second, root)
        owner.deploy()
        load.end()
        seen = load.finish()["outcomes"]
    assert owner.shown() == {second.pem.decode()}
    assert seen["ok"] > RATE, seen
    assert (seen["failed"], seen["cut"], seen["wrong"]) == (0, 0, 0), seen

    # Who keeps a connection has seen the old one: only new connections are shown another.
    with traffic(
        lab, "pulse", RATE, AT_MOST_S, 0.3, tmp_path / "control.jsonl", "--fresh"
    ) as load:
        load.await_steady()
        owner.bring(certify("edge", stranger, names=NAMES), stranger)
        owner.deploy()
        wait_until(
            "the recorder sees it",
            lambda: any(r["outcome"] == "failed" for r in load.records()),
            60,
        )
        load.end()
        control = load.finish()["outcomes"]
    assert control["failed"] > 0, control
    print(f"replaced: {seen}; control: {control}")


def test_one_that_has_ended_is_refused_and_keeps_nobody_from_working(
    owner: Owner, permafrost: Cli
) -> None:
    root = certify("root", is_authority=True)
    good = certify("edge", root, names=NAMES)
    owner.bring(good, root)
    owner.deploy()
    begins = datetime.now(UTC) - timedelta(days=400)
    owner.bring(certify("edge", root, names=NAMES, begins=begins), root)
    said = permafrost.run("deploy", "--yes", "--output", "json", expect=3, timeout=900)
    assert "CERTIFICATE_EXPIRED" in said.stderr
    assert owner.shown() == {good.pem.decode()}
    permafrost.run("drain", "lab-pulse-02", "--yes")
    permafrost.run("undrain", "lab-pulse-02", "--yes")
