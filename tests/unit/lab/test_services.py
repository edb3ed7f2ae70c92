"""The lab's servers: started once, restarted when what they are given changes."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.errors import LabError
from lab.instance import site
from lab.instance.model import Instance
from lab.services import daemon as daemons
from lab.services import registry, vcenter
from lab.services.daemon import Daemon


@pytest.fixture
def started(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was started; a started server's group is populated."""
    seen: list[list[str]] = []

    def spawn(argv: list[str], *, groups: list[Path], **_: Any) -> None:
        seen.append(list(argv))
        (groups[0] / "cgroup.events").write_text("populated 1\n")

    monkeypatch.setattr(daemons, "spawn", spawn)

    def stop(self: Daemon) -> None:
        (instance.service_group(self.name).path / "cgroup.events").write_text("populated 0\n")

    monkeypatch.setattr(Daemon, "_stop", stop)
    return seen


def test_a_running_server_is_left_alone(instance: Instance, started: list[list[str]]) -> None:
    server = Daemon(instance, "registry", ["serve"])
    assert server.ensure()
    assert not server.ensure()
    assert started == [["serve"]]


def test_another_command_or_configuration_restarts(
    instance: Instance, started: list[list[str]]
) -> None:
    config = instance.root / "config"
    config.write_text("one")
    Daemon(instance, "registry", ["serve"], inputs=[config]).ensure()
    config.write_text("two")
    assert Daemon(instance, "registry", ["serve"], inputs=[config]).ensure()
    assert Daemon(instance, "registry", ["serve", "-v"], inputs=[config]).ensure()
    assert len(started) == 3


def test_a_server_that_ends_is_told_with_its_last_words(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Daemon(instance, "registry", ["serve"], ready=lambda: False)

    def spawn(*_: Any, groups: list[Path], **__: Any) -> None:
        server.log.write_text("address already in use\n")

    monkeypatch.setattr(daemons, "spawn", spawn)
    monkeypatch.setattr(daemons, "START_TIMEOUT_S", 0.05)
    with pytest.raises(LabError, match="address already in use"):
        server.ensure()


def test_the_registry_has_tls_and_hashed_passwords(instance: Instance) -> None:
    registry.configure(instance)
    config = yaml.safe_load((instance.registry_dir / "config.yaml").read_text())
    assert config["http"]["tls"]["certificate"]
    assert config["auth"]["htpasswd"]["path"] == str(instance.registry_dir / "htpasswd")
    password = (instance.registry_dir / "password").read_text().strip()
    hashed = (instance.registry_dir / "htpasswd").read_text()
    assert hashed.startswith("permafrost:$2")
    assert password not in hashed
    registry.configure(instance)
    assert (instance.registry_dir / "htpasswd").read_text() == hashed


def test_the_vcenter_shows_three_hosts_with_two_devices(instance: Instance) -> None:
    vcenter.configure(instance)
    config = json.loads((instance.vcenter_dir / "config.json").read_text())
    assert [h["name"] for h in config["hosts"]] == ["lab-esx-01", "lab-esx-02", "lab-esx-03"]
    assert {len(h["gpus"]) for h in config["hosts"]} == {2}
    assert config["hook"][-2:] == ["--instance", str(instance.root)]
    assert config["cgroup_root"] == str(instance.group.path)
    password = (instance.vcenter_dir / "password").read_text().strip()
    assert password not in json.dumps(config), "only the file is named"


def test_a_lab_keeps_its_own_vcenter_until_there_is_another(
    instance: Instance, tmp_path: Path
) -> None:
    instance.vcenter_dir.mkdir(parents=True, exist_ok=True)
    program = tmp_path / "labvcenter"
    program.write_text("one")
    program.chmod(0o755)
    kept = vcenter.keep(instance, program)
    assert kept.stat().st_mode & 0o100
    written = kept.stat().st_mtime_ns
    assert vcenter.keep(instance, program).stat().st_mtime_ns == written
    program.write_text("two")
    assert vcenter.keep(instance, program).read_text() == "two"
    program.unlink()
    assert kept.read_text() == "two", "the cache of builds may lose it"


def test_the_vcenter_has_the_hosts_that_the_site_file_names(
    instance: Instance, tmp_path: Path
) -> None:
    template = tmp_path / "site.yaml"
    template.write_text("hosts:\n  esx-a: {rack: r1}\n  esx-b: {}\nx: ${later}\n")
    assert site.hosts_of(template) == {"esx-a": "r1", "esx-b": ""}
    vcenter.configure(instance, site.hosts_of(template))
    config = json.loads((instance.vcenter_dir / "config.json").read_text())
    assert [(h["name"], h.get("rack")) for h in config["hosts"]] == [
        ("esx-a", "r1"),
        ("esx-b", None),
    ]
    assert vcenter.hosts_of(instance) == ("esx-a", "esx-b")
    template.write_text("hosts: [esx-a]\n")
    with pytest.raises(LabError, match="SITE_TEMPLATE"):
        site.hosts_of(template)
