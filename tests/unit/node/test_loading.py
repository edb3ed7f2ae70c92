"""A checkpoint loaded beside the one that serves, cut at every effect, and unloaded again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from permafrost.node import loading, settings, slots
from permafrost.node.errors import NodeError
from permafrost.node.gate import Gate
from permafrost.node.referring import Attached
from permafrost.node.roots import Roots
from permafrost.node.running import Slots
from permafrost.node.service import NodeService
from permafrost.node.settings import Settings
from permafrost.node.store import ModelStore
from tests.unit.node.conftest import FakeReader, manifest_of, sha256
from tests.unit.node.gate_bench import PROBES, FakeTriton
from tests.unit.node.test_settings import configure

OTHERS = {"model.weights": b"other " * 900}


class Killed(BaseException):
    """The process is killed here."""


class FakeMachine(loading.Machine):
    """Notes what a load does; killed at its n-th effect."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.done: list[str] = []
        self.names: dict[str, str] = {}
        self.left = kill_at

    def _effect(self, what: str) -> None:
        if self.left == 0:
            raise Killed
        self.left = None if self.left is None else self.left - 1
        self.done.append(what)

    def start(self, slot: str) -> None:
        self._effect(f"start {slot}")

    def stop(self, slot: str) -> None:
        self._effect(f"stop {slot}")

    def label(self, loaded: dict[str, str]) -> None:
        self._effect("label")
        self.names = dict(loaded)


class Both(FakeReader):
    """A registry with two checkpoints."""

    def __init__(self, first: dict[str, bytes], second: dict[str, bytes]) -> None:
        super().__init__(first)
        self.second = sha256(manifest_of(second))
        self.manifests = {self.checkpoint: self.content, self.second: manifest_of(second)}
        self.files |= {sha256(content): content for content in second.values()}

    def manifest(self, reference: str) -> bytes:
        return self.manifests[reference]

    def attached(self, subject: str, kind: str) -> list[Attached]:
        content = json.dumps({**self.recorded, "checkpoint": subject}).encode()
        return [Attached(sha256(content), content)]


@pytest.fixture
def both(reader: FakeReader) -> Both:
    return Both({"model.weights": b"frozen " * 1000}, OTHERS)


@pytest.fixture
def told(node_json: Callable[..., Path], both: Both) -> Settings:
    """A node whose slot a serves the first; slot b is prepared and empty."""
    found = settings.load(node_json(checkpoint=""))
    configure(found, "a", both.checkpoint)
    configure(found, "b", "")
    loading.load(found, "a", both.checkpoint, both, FakeMachine())  # type: ignore[arg-type]
    return found


def test_beside_what_serves_and_away_again(told: Settings, both: Both) -> None:
    machine = FakeMachine()
    made = loading.load(told, "b", both.second, both, machine)  # type: ignore[arg-type]
    assert (made["slot"], made["checkpoint"], made["changed"]) == ("b", both.second, True)
    assert machine.done == ["stop b", "label", "start b"], "slot a is not touched"
    assert machine.names == {"a": both.checkpoint, "b": both.second}
    assert slots.loaded(told) == machine.names
    assert slots.checkpoint_of(told, "b") == both.second
    store = ModelStore(told.models_dir)
    assert Roots(store).slot("b").current == both.second
    slots.mount(told, "b", store.tree(both.second))
    link = told.slots_dir / "b" / "checkpoint"
    assert link.resolve() == store.tree(both.second).resolve()
    loading.unload(told, "b", machine)
    assert slots.loaded(told) == {"a": both.checkpoint}
    assert machine.names == {"a": both.checkpoint}
    assert store.tree(both.second).is_dir(), "its bytes stay"
    with pytest.raises(NodeError, match="names no checkpoint"):
        slots.checkpoint_of(told, "b")
    assert loading.unload(told, "b", machine)["changed"] is False


def test_a_slot_that_is_loaded_gets_nothing_else(told: Settings, both: Both) -> None:
    with pytest.raises(NodeError, match="SLOT_TAKEN"):
        loading.load(told, "a", both.second, both, FakeMachine())  # type: ignore[arg-type]
    with pytest.raises(NodeError, match="SLOT_TAKEN"):
        loading.unload(told, "a", FakeMachine())
    assert slots.loaded(told) == {"a": both.checkpoint}


@pytest.mark.parametrize("moment", range(3))
def test_cut_anywhere_the_same_command_goes_on(told: Settings, both: Both, moment: int) -> None:
    with pytest.raises(Killed):
        loading.load(told, "b", both.second, both, FakeMachine(moment))  # type: ignore[arg-type]
    machine = FakeMachine()
    loading.load(told, "b", both.second, both, machine)  # type: ignore[arg-type]
    assert machine.done[-2:] == ["label", "start b"]
    assert slots.loaded(told)["b"] == both.second


@pytest.mark.parametrize("moment", range(2))
def test_what_a_cut_unload_left_running_is_stopped_before_another_load(
    told: Settings, both: Both, moment: int
) -> None:
    loading.load(told, "b", both.second, both, FakeMachine())  # type: ignore[arg-type]
    with pytest.raises(Killed):
        loading.unload(told, "b", FakeMachine(moment))
    machine = FakeMachine()
    loading.load(told, "b", both.checkpoint, both, machine)  # type: ignore[arg-type]
    assert machine.done[0] == "stop b"


def test_a_server_that_is_stopped_has_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, program = tmp_path / "said", tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {said}\n[ "$1" != reset-failed ]\n')
    program.chmod(0o755)
    monkeypatch.setattr(loading, "SYSTEMCTL", str(program))
    loading.Machine().stop("b")
    unit = "triton-b.service"
    assert said.read_text().splitlines() == [f"stop {unit}", f"reset-failed {unit}"]


def test_a_configuration_that_differs_from_the_pin_is_not_loaded(
    told: Settings, both: Both
) -> None:
    slots.configure(told, "b", both.checkpoint)
    (told.slots_dir / "b" / "loaded").write_text(both.second + "\n")
    with pytest.raises(NodeError, match="CHECKPOINT_NOT_PINNED"):
        slots.checkpoint_of(told, "b")
    slots.clear(told, "b")
    with pytest.raises(NodeError, match="SLOT_NOT_CONFIGURED"):
        slots.checkpoint_of(told, "b")


def test_each_slot_has_its_own_gate_and_another_checkpoint_begins_anew(
    told: Settings, both: Both
) -> None:
    made: list[NodeService] = []

    def make(seen: Settings) -> NodeService:
        triton = FakeTriton()
        triton.digest = seen.checkpoint
        gate = Gate(triton, seen.checkpoint, lambda: PROBES, lambda: 0.0)
        service = NodeService(seen, gate, None)
        service.start = lambda: None  # type: ignore[method-assign]
        made.append(service)
        return service

    node = Slots(told, make)
    assert node.of("b") is None
    first = node.of("a")
    assert first is not None
    assert node.of("") is first
    first.gate.tick()
    first.gate.step()
    loading.load(told, "b", both.second, both, FakeMachine())  # type: ignore[arg-type]
    beside = node.of("b")
    assert beside is not None
    assert beside.settings.checkpoint == both.second
    assert beside.gate.view().state == "STARTING"
    state = node.state()
    assert (state["slot"], state["state"]) == ("a", "ADMITTED")
    assert state["slots"]["b"]["pinned"] == both.second
    loading.unload(told, "b", FakeMachine())
    loading.load(told, "b", both.checkpoint, both, FakeMachine())  # type: ignore[arg-type]
    again = node.of("b")
    assert again is not None
    assert again is not beside
    assert again.settings.checkpoint == both.checkpoint
    assert node.of("a") is first, "what serves goes on"
