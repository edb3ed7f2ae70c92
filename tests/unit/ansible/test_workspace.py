from __future__ import annotations

import io
import json
import stat
import tarfile
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from permafrost.adapters.ansible.variables import Variables
from permafrost.adapters.ansible.workspace import Workspace, package_archive
from permafrost.pki import SshKey
from permafrost.topology import Node, Tier

NODE = Node("lab-chat-01", Tier.INFERENCE, IPv4Address("10.0.0.21"), "chat")
VARIABLES = Variables({"a": 1}, {"password": "s3cret-words"})


@pytest.fixture
def prepared(tmp_path: Path) -> Workspace:
    code = tmp_path / "source/permafrost/node"
    code.mkdir(parents=True)
    (code / "gate.py").write_text("pass\n")
    workspace = Workspace(tmp_path / "state/ansible/lab-chat-01", NODE)
    _prepare(workspace, tmp_path)
    return workspace


def _prepare(workspace: Workspace, tmp_path: Path) -> None:
    key = SshKey(tmp_path / "id", "ssh-ed25519 x", tmp_path / "known_hosts")
    workspace.prepare(tmp_path / "source", VARIABLES, key, tmp_path / "control")


def test_secrets_lie_in_one_private_file(prepared: Workspace) -> None:
    files = [f for f in prepared.folder.rglob("*") if f.is_file()]
    holding = [f for f in files if b"s3cret-words" in f.read_bytes()]
    assert [f.name for f in holding] == ["secret.json"]
    assert all(stat.S_IMODE(f.stat().st_mode) & 0o077 == 0 for f in files if f.name != ".lock")


def test_the_inventory_holds_this_node_alone(prepared: Workspace) -> None:
    inventory = json.loads((prepared.folder / "inventory/hosts.json").read_text())
    assert list(inventory) == ["inference"]
    assert list(inventory["inference"]["hosts"]) == ["lab-chat-01"]


def test_arguments_of_an_earlier_run_are_forgotten(prepared: Workspace, tmp_path: Path) -> None:
    leftover = prepared.folder / "env/cmdline"
    leftover.parent.mkdir()
    leftover.write_text("--check")
    _prepare(prepared, tmp_path)
    assert not leftover.exists()


def test_a_run_does_not_see_the_secrets_of_the_environment(
    prepared: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSPHERE_PASSWORD", "s3cret-words")
    monkeypatch.setenv("HOME", "/home/x")
    environment = prepared.environment()
    assert environment["HOME"] == "/home/x"
    assert "s3cret-words" not in environment.values()


def test_equal_code_gives_an_equal_archive(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("pass\n")
    first = package_archive(tmp_path)
    (tmp_path / "a.py").touch()
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/a.pyc").write_text("x")
    assert package_archive(tmp_path) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        assert archive.getnames() == ["permafrost_node", "permafrost_node/a.py"]
