"""What ``doctor`` says of tools, services and state, each as it should be and spoilt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Thread

import pytest

from permafrost.errors import Problem
from permafrost.runbook.context import Context
from permafrost.runbook.doctor import examine
from permafrost.runbook.doctor_tls import certificate_findings
from permafrost.runbook.findings import Finding, Level
from permafrost.site.knowledge import Knowledge, Milvus
from permafrost.site.load import LoadedSite
from permafrost.site.model import Site
from tests.fakes.catalog import FakeCatalog
from tests.fakes.owners import Certified, certify
from tests.fakes.provisioner import FakeProvisioner
from tests.fakes.site import context, document, small_site
from tests.fakes.world import World
from tests.golden.ansible.rendering import golden_site


class Packages(BaseHTTPRequestHandler):
    """A package source that has one release."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path.endswith("/Release") else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def source() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Packages)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@dataclass
class Tools(FakeProvisioner):
    """A provisioner that works with the tools of one folder."""

    folder: Path = Path()

    def env(self) -> dict[str, str]:
        return {"PATH": str(self.folder / "bin"), "PULUMI_HOME": str(self.folder / "home")}


def program(path: Path, says: str) -> Path:
    """Write a program that prints one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@dataclass
class Bench:
    """A site, its tools, and what is examined of them."""

    ctx: Context
    world: World
    tools: Path

    def seen(self) -> dict[str, Finding]:
        return {f.name: f for f in examine(self.ctx)}


@pytest.fixture
def bench(tmp_path: Path, source: str) -> Bench:
    site = small_site()
    packages = site.packages.model_copy(update={"url": source})
    world = World.of(site.model_copy(update={"packages": packages}))
    (tmp_path / "state").mkdir(mode=0o700)
    made = context(tmp_path / "state", world)
    made.make_provisioner = lambda: Tools(world, folder=tmp_path)
    program(tmp_path / "bin/pulumi", f"v{version('pulumi')}")
    program(tmp_path / "bin/pulumi-language-python", "")
    provenance = {"language_host": "stand-in"}
    (tmp_path / "provenance.json").write_text(json.dumps(provenance))
    plugin = f"home/plugins/resource-vsphere-v{version('pulumi-vsphere')}/pulumi-resource-vsphere"
    program(tmp_path / plugin, "")
    return Bench(made, world, tmp_path)


def test_a_lab_is_well_and_says_what_stands_in_for_what(bench: Bench) -> None:
    seen = bench.seen()
    assert [f for f in seen.values() if f.level is Level.PROBLEM] == []
    stand_ins = {f.name: f.production for f in seen.values() if f.level is Level.STAND_IN}
    assert set(stand_ins) == {
        *("language host", "vsphere plugin", "vcenter", "hypervisor", "triton image")
    }
    assert all(stand_ins.values()), "each says what production uses"


def test_what_is_not_encrypted_in_the_knowledge_tier_is_said(bench: Bench) -> None:
    name = "knowledge, not encrypted"
    assert name not in bench.seen()
    plain = Milvus(etcd_tls=False, queue_tls=False, object_store_tls=False)
    for milvus, stores in ((plain, True), (Milvus(), False)):
        site = bench.ctx.site.model_copy(update={"knowledge": Knowledge(milvus=milvus)})
        bench.ctx = replace(bench.ctx, loaded=replace(bench.ctx.loaded, site=site))
        found = bench.seen()[name]
        assert found.level is Level.EXPOSED
        assert "between the roles of Milvus" in found.detail
        for said in ("etcd", "Kafka", "MinIO"):
            assert (said in found.detail) is stores


def test_real_tools_are_no_stand_ins(bench: Bench) -> None:
    (bench.tools / "provenance.json").unlink()
    (plugin,) = bench.tools.glob("home/plugins/*/pulumi-resource-vsphere")
    plugin.write_bytes(b"\x7fELF and so on")
    seen = bench.seen()
    assert seen["language host"].level is Level.OK
    assert seen["vsphere plugin"].level is Level.OK


def without_pulumi(bench: Bench) -> None:
    (bench.tools / "bin/pulumi").unlink()


def another_pulumi(bench: Bench) -> None:
    program(bench.tools / "bin/pulumi", "v3.1.0")


def without_language_host(bench: Bench) -> None:
    (bench.tools / "bin/pulumi-language-python").unlink()


def without_plugin(bench: Bench) -> None:
    for plugin in bench.tools.glob("home/plugins/*/pulumi-resource-vsphere"):
        plugin.unlink()


def vcenter_away(bench: Bench) -> None:
    bench.world.vcenter_down = True


def no_fingerprint(bench: Bench) -> None:
    models = {e.model for e in bench.ctx.site.inference.values()}
    bench.ctx.catalog = FakeCatalog(without_fingerprint=frozenset(models))


def not_in_the_registry(bench: Bench) -> None:
    models = {e.model for e in bench.ctx.site.inference.values()}
    bench.ctx.catalog = FakeCatalog(missing=frozenset(models))


def packages_away(bench: Bench) -> None:
    packages = bench.ctx.site.packages.model_copy(update={"url": "http://127.0.0.1:9"})
    site = bench.ctx.site.model_copy(update={"packages": packages})
    bench.ctx.loaded = type(bench.ctx.loaded)(site, bench.ctx.loaded.path)


def open_state(bench: Bench) -> None:
    bench.ctx.loaded.state_dir.chmod(0o755)


@pytest.mark.parametrize(
    ("spoil", "name", "says"),
    [
        (without_pulumi, "pulumi", "not on PATH"),
        (another_pulumi, "pulumi", "v3.1.0"),
        (without_language_host, "language host", "not on PATH"),
        (without_plugin, "vsphere plugin", "plugin install resource vsphere"),
        (vcenter_away, "vcenter", ""),
        (no_fingerprint, "checkpoint of chat", "no fingerprint"),
        (not_in_the_registry, "checkpoint of chat", ""),
        (packages_away, "packages", "127.0.0.1:9"),
        (open_state, "state", "chmod 700"),
    ],
)
def test_what_is_wrong_is_found_and_nothing_else_is_blamed(
    bench: Bench, spoil: Callable[[Bench], None], name: str, says: str
) -> None:
    spoil(bench)
    seen = bench.seen()
    assert seen[name].level is Level.PROBLEM
    assert says in seen[name].detail
    assert {f.name.split()[0] for f in seen.values() if f.level is Level.PROBLEM} == {
        name.split()[0]
    }


def test_the_owners_certificates_and_until_when(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    root = certify("root", is_authority=True)

    def finding(edge: Certified) -> Finding:
        (folder / "edge.pem").write_bytes(edge.pem)
        (folder / "edge.key").write_bytes(edge.key_pem)
        values = document()
        files = {"certificate_file": "secrets/edge.pem", "key_file": "secrets/edge.key"}
        values.setdefault("edge", {})["tls"] = files
        site = Site.model_validate(values)
        return {f.name: f for f in certificate_findings(LoadedSite(site, tmp_path / "site.yaml"))}[
            "edge.tls"
        ]

    names = ("chat.example.com",)
    assert finding(certify("edge", root, names=names)).level is Level.OK
    soon = finding(certify("edge", root, names=names, life=timedelta(days=20)))
    assert soon.level is Level.PROBLEM
    assert "ends in 19 days" in soon.detail
    nameless = finding(certify("edge", root))
    assert nameless.level is Level.PROBLEM
    assert "no subject alternative name" in nameless.detail


def test_an_external_object_store_is_asked_and_what_it_says_is_told(bench: Bench) -> None:
    assert "object store" not in bench.seen()
    site = bench.ctx.site.model_copy(
        update={"knowledge": golden_site("narvik").knowledge},
    )
    bench.ctx = replace(bench.ctx, loaded=replace(bench.ctx.loaded, site=site))
    assert bench.seen()["object store"].level is Level.OK
    dead = Problem("OBJECT_STORE_UNREACHABLE", "it is silent", "here", "bring it back")
    bench.ctx = replace(bench.ctx, object_store=lambda: (dead,))
    found = bench.seen()["object store"]
    assert (found.level, found.detail) == (Level.PROBLEM, "it is silent")
    assert "etcd" not in bench.seen()["knowledge, not encrypted"].detail


def test_a_tier_says_which_of_its_stores_are_encrypted(bench: Bench) -> None:
    def seen(site: str) -> dict[str, Finding]:
        told = bench.ctx.site.model_copy(update={"knowledge": golden_site(site).knowledge})
        bench.ctx = replace(bench.ctx, loaded=replace(bench.ctx.loaded, site=told))
        return bench.seen()

    stores = ("etcd", "Kafka", "MinIO")
    plain = seen("bergen")
    assert "knowledge, encrypted" not in plain
    assert all(s in plain["knowledge, not encrypted"].detail for s in stores)
    found = seen("hamar")
    assert found["knowledge, encrypted"].level is Level.OK
    assert all(s in found["knowledge, encrypted"].detail for s in stores)
    left = found["knowledge, not encrypted"]
    assert left.level is Level.EXPOSED
    assert left.detail.startswith("between the roles of Milvus: ")
