"""What a node does with its slots leaves them as a convergence would write them.

Ansible writes the slots of a node for every release that an upgrade goes through; the node's own
service goes from one to the next on a copy. A difference is a file that the next convergence
changes, and a server that it starts anew.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from permafrost.node import loading, settings, slots
from permafrost.node.settings import Settings
from permafrost.planning.release import Release
from tests.contract.slots.converged import converge, files
from tests.unit.node.test_loading import OTHERS, Both, FakeMachine, Killed

Work = Callable[[Settings, FakeMachine], object]
BOTH = Both({"model.weights": b"frozen " * 1000}, OTHERS)
OLD, NEW = BOTH.checkpoint, BOTH.second
RELEASES = {
    "old": Release("pulse", OLD, "a", {"a": OLD}, ("a",)),
    "both": Release("pulse", OLD, "b", {"a": OLD, "b": NEW}, ("a", "b")),
    "new": Release("pulse", OLD, "b", {"b": NEW}, ("b",)),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Ansible writes for each release, one folder each."""
    folder = tmp_path_factory.mktemp("converged")
    converge(folder, RELEASES)
    return folder


@pytest.fixture
def node(written: Path, tmp_path: Path) -> Settings:
    """A node that was converged with the old checkpoint alone."""
    shutil.copytree(written / "old/slots", tmp_path / "slots")
    given = {
        "node": "oslo-pulse-01",
        "endpoint": "pulse",
        "registry": {
            "url": "https://registry.test:5000",
            "repository": "checkpoints/pulse",
            "username": "reader",
            "password_file": str(tmp_path / "password"),
            "ca_file": str(tmp_path / "ca.pem"),
        },
        "triton": {"a": {"http": 8000, "metrics": 8002}, "b": {"http": 8010, "metrics": 8012}},
        "models_dir": str(tmp_path / "models"),
        "slots_dir": str(tmp_path / "slots"),
        "fingerprint_file": str(tmp_path / "fingerprint.json"),
        "served_dir": str(tmp_path),
    }
    path = tmp_path / "node.json"
    path.write_text(json.dumps(given))
    return settings.load(path)


class CutMachine(FakeMachine):
    """Killed at its n-th effect, those on the slots' files among them."""

    def written(self, folder: Path) -> None:
        """After a file's change."""
        self._effect(f"written {folder}")


def load(told: Settings, slot: str, checkpoint: str, machine: FakeMachine | None = None) -> None:
    loading.load(told, slot, checkpoint, BOTH, machine or FakeMachine())  # type: ignore[arg-type]


def exchange(
    told: Settings, slot: str, checkpoint: str, machine: FakeMachine | None = None
) -> None:
    made = machine or FakeMachine()
    loading.exchange(told, slot, checkpoint, BOTH, made)  # type: ignore[arg-type]


def differs(told: Settings, written: Path, release: str) -> set[str]:
    """Return the files that a convergence with a release would write otherwise."""
    found, wanted = files(told.slots_dir), files(written / release / "slots")
    return {path for path in found.keys() | wanted.keys() if found.get(path) != wanted.get(path)}


def test_a_slot_that_is_filled_and_emptied_again(node: Settings, written: Path) -> None:
    load(node, "b", NEW)
    assert differs(node, written, "both") == set()
    loading.unload(node, "b", FakeMachine())
    assert differs(node, written, "old") == set()


def test_the_slot_that_served_is_given_up(node: Settings, written: Path) -> None:
    load(node, "b", NEW)
    loading.unload(node, "a", FakeMachine())
    assert differs(node, written, "new") == set()


def test_a_slot_that_is_exchanged_and_exchanged_back(node: Settings, written: Path) -> None:
    exchange(node, "b", NEW)
    assert differs(node, written, "new") == set()
    exchange(node, "a", OLD)
    assert differs(node, written, "old") == set()


def cut(do: Work, told: Settings, moment: int) -> bool:
    """Do it, killed at its n-th effect on the machine or its files; whether there was one."""
    machine = CutMachine(moment)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(slots, "sync_folder", machine.written)
        try:
            do(told, machine)
        except Killed:
            return True
    return False


WAYS: dict[str, tuple[Work, Work]] = {
    "load": (
        lambda told, machine: load(told, "b", NEW, machine),
        lambda told, machine: loading.unload(told, "b", machine),
    ),
    "exchange": (
        lambda told, machine: exchange(told, "b", NEW, machine),
        lambda told, machine: exchange(told, "a", OLD, machine),
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_cut_anywhere_and_taken_back(way: str, node: Settings, written: Path) -> None:
    """On the way in, and on the way back, which is then begun again."""
    begin, back = WAYS[way]
    moment = 0
    while cut(begin, node, moment):
        back(node, FakeMachine())
        assert differs(node, written, "old") == set(), moment
        moment += 1
    assert moment >= 5, "no effect was cut"
    moment = 0
    while cut(back, node, moment):
        back(node, FakeMachine())
        assert differs(node, written, "old") == set(), moment
        begin(node, FakeMachine())
        moment += 1
    assert moment >= 4, "no effect was cut"
    assert differs(node, written, "old") == set()


def test_control_a_configuration_that_keeps_its_name_is_found(
    node: Settings, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "clear", lambda told, slot: False)
    load(node, "b", NEW)
    loading.unload(node, "b", FakeMachine())
    assert differs(node, written, "old") == {"b/models/pulse/config.pbtxt"}
