"""Removing a lab: only its own things, and with nothing but Python's standard library."""

import subprocess
import sys
from pathlib import Path

import pytest

from lab import cleanup
from lab.instance import naming
from lab.instance.cgroups import Cgroup
from lab.instance.model import CHECKOUT


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tree: Path, tmp_path: Path) -> list[list[str]]:
    """A machine with the links of two labs; what was run on it."""
    seen: list[list[str]] = []
    links = {
        "lo",
        "eth0",
        *(naming.bridge_name(i) for i in ("abc", "abcd")),
        *(naming.link_name(i, "lab-chat-01") for i in ("abc", "abcd")),
    }
    monkeypatch.setattr(cleanup, "links", lambda: links)
    monkeypatch.setattr(
        cleanup, "tables", lambda: [("inet", "pfabc"), ("bridge", "pfabc"), ("inet", "pfabcd")]
    )
    monkeypatch.setattr(cleanup, "instance_group", lambda i: Cgroup(tree / i))
    monkeypatch.setattr(Cgroup, "kill", lambda self: True)
    monkeypatch.setattr(cleanup, "controller_roots", list)
    monkeypatch.setattr(cleanup, "NSPAWN_RUN", tmp_path / "nspawn")

    def run(argv: list[str]) -> bool:
        seen.append(argv)
        return True

    monkeypatch.setattr(cleanup, "_run", run)
    return seen


def test_only_the_labs_own_things_go(tmp_path: Path, commands: list[list[str]]) -> None:
    root, other = tmp_path / ".lab" / "abc", tmp_path / ".lab" / "abcd"
    for folder in (root, other):
        (folder / "machines").mkdir(parents=True)
    said = list(cleanup.remove(root))
    assert not root.exists()
    assert other.exists()
    assert commands == [
        ["ip", "link", "delete", "pfabc"],
        ["ip", "link", "delete", naming.link_name("abc", "lab-chat-01")],
        ["nft", "delete", "table", "inet", "pfabc"],
        ["nft", "delete", "table", "bridge", "pfabc"],
    ]
    assert f"folder {root}" in said


def test_a_folder_that_is_no_lab_is_refused(tmp_path: Path) -> None:
    precious = tmp_path / "My Documents"
    precious.mkdir()
    with pytest.raises(ValueError, match="not the folder of a lab"):
        list(cleanup.remove(precious))
    assert precious.exists()


def test_groups_go_with_what_is_below_them(
    tmp_path: Path, tree: Path, commands: list[list[str]]
) -> None:
    (tree / "abc" / "lab-chat-01" / "payload").mkdir(parents=True)
    (tree / "abcd").mkdir()
    said = list(cleanup.remove(tmp_path / ".lab" / "abc"))
    assert any("lab-chat-01" in line for line in said)


def test_it_runs_where_no_package_is_installed() -> None:
    # -S leaves out site-packages: only the standard library is there.
    done = subprocess.run(
        [sys.executable, "-S", "-m", "lab.cleanup", "--help"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_sockets_of_shared_connections_go_and_nothing_that_only_bears_a_link(
    tmp_path: Path, commands: list[list[str]]
) -> None:
    root, sockets = tmp_path / ".lab" / "abc", tmp_path / "permafrost-0-0123abcd"
    precious = tmp_path / "precious"
    for folder in (root / "state/ssh", sockets, precious):
        folder.mkdir(parents=True)
    (sockets / "lab-chat-01").touch()
    (root / "state/ssh/control").symlink_to(sockets)
    assert f"folder {sockets}" in list(cleanup.remove(root))
    assert not sockets.exists()
    assert any("exit" in argv and str(sockets / "lab-chat-01") in argv for argv in commands)
    (root / "state/ssh").mkdir(parents=True)
    (root / "state/ssh/control").symlink_to(precious)
    list(cleanup.remove(root))
    assert precious.exists()
