"""The record of an instance, its allocation and its rendered site file."""

import json
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.instance import naming, site
from lab.instance.allocate import recorded_subnets
from lab.instance.model import Instance, default_root, load
from lab.instance.secrets import ensure_password
from permafrost.errors import PermafrostError
from permafrost.site.load import load_site

DIGESTS = {
    "triton_image": "images/triton@sha256:" + "1" * 64,
    "pulumi_dir": "/opt/pulumi/bin",
    "chat_model": "chat@sha256:" + "2" * 64,
    "pulse_model": "pulse@sha256:" + "3" * 64,
}


def test_what_was_allocated_is_read_back(instance: Instance) -> None:
    assert load(instance.root) == instance
    assert instance.gateway == str(instance.network.network_address + 1)
    assert instance.allocation.bridge == "pfabc123"


def test_a_missing_and_a_broken_record_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="LAB_ABSENT"):
        load(tmp_path)
    (tmp_path / "lab.json").write_text('{"id": "x"')
    with pytest.raises(LabError, match="LAB_RECORD_BROKEN"):
        load(tmp_path)


def test_the_environment_chooses_the_lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERMAFROST_LAB", "other")
    assert default_root(tmp_path) == tmp_path / ".lab" / "other"
    monkeypatch.setenv("PERMAFROST_LAB", "No Way")
    with pytest.raises(LabError, match="LAB_ID_INVALID"):
        default_root(tmp_path)


def test_recorded_subnets_of_other_labs_are_taken(instance: Instance) -> None:
    other = instance.root.parent / "other"
    other.mkdir()
    (other / "lab.json").write_text(json.dumps({"subnet": "10.70.1.0/24"}))
    broken = instance.root.parent / "broken"
    broken.mkdir()
    (broken / "lab.json").write_text("{")
    assert recorded_subnets(instance.root.parent, instance.id) == {IPv4Network("10.70.1.0/24")}


def _files_that_the_site_names(instance: Instance) -> None:
    for name in ("vcenter/password", "registry/password"):
        ensure_password(instance.root / name)
    for name in ("ca/ca.pem", "packages.asc"):
        (instance.root / name).parent.mkdir(exist_ok=True)
        (instance.root / name).write_text("x")


def test_the_rendered_site_is_a_valid_one(instance: Instance) -> None:
    _files_that_the_site_names(instance)
    assert site.render(instance, DIGESTS)
    loaded = load_site(instance.site_file)
    assert loaded.site.vcenter.server == f"{instance.gateway}:8989"
    assert loaded.state_dir == instance.state_dir
    assert {e.image for e in loaded.site.inference.values()} == {DIGESTS["triton_image"]}
    assert not loaded.site.nodes.container_cgroups
    assert not site.render(instance, DIGESTS), "nothing changed"


def test_passwords_are_made_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "password"
    first = ensure_password(file)
    assert ensure_password(file) == first
    assert file.stat().st_mode & 0o777 == 0o600
    assert ensure_password(tmp_path / "other") != first


def test_an_unknown_placeholder_is_named(instance: Instance, tmp_path: Path) -> None:
    template = tmp_path / "site.yaml"
    template.write_text("site: ${nobody}")
    with pytest.raises(PermafrostError, match="nobody"):
        site.render(instance, DIGESTS, template)


def test_nodes_have_one_name_in_every_lab(instance: Instance) -> None:
    assert naming.machine_name(instance.id, "lab-chat-01") == "pf-abc123-lab-chat-01"
    assert instance.machine_group("lab-chat-01").path.name == "lab-chat-01"
