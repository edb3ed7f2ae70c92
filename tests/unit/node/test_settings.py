"""Settings, and which checkpoint a slot is configured to load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from permafrost.node import settings, slots
from permafrost.node.errors import NodeError

PINNED, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def configure(told: settings.Settings, slot: str, checkpoint: str) -> None:
    folder = told.slots_dir / slot / "models" / told.model_name
    folder.mkdir(parents=True)
    (folder / "config.pbtxt").write_text(
        'name: "chat"\n'
        f'parameters {{ key: "checkpoint" value {{ string_value: "{checkpoint}" }} }}\n'
        'parameters { key: "max_context_tokens" value { string_value: "2048" } }\n'
    )


def test_the_serving_slot_has_its_ports(node_json: Callable[..., Path]) -> None:
    told = settings.load(node_json())
    assert (told.ports.http, told.ports.metrics) == (8000, 8002)
    assert told.checkpoint == PINNED
    assert told.health_port == 9100


@pytest.mark.parametrize(
    "change",
    [{"slot": "c"}, {"checkpoint": "latest"}, {"registry": {}}, {"triton": {"a": {"http": 1}}}],
)
def test_wrong_settings_are_refused(
    node_json: Callable[..., Path], change: dict[str, object]
) -> None:
    with pytest.raises(NodeError, match="SETTINGS_INVALID"):
        settings.load(node_json(**change))


def test_missing_settings_are_told(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="SETTINGS_MISSING"):
        settings.load(tmp_path / "none.json")


def test_a_slots_checkpoint_is_read_from_what_triton_will_read(
    node_json: Callable[..., Path],
) -> None:
    told = settings.load(node_json())
    configure(told, "a", PINNED)
    configure(told, "b", OTHER)
    assert slots.checkpoint_of(told, "a") == PINNED
    assert slots.checkpoint_of(told, "b") == OTHER


def test_the_serving_slot_may_load_nothing_but_the_pin(node_json: Callable[..., Path]) -> None:
    told = settings.load(node_json())
    configure(told, "a", OTHER)
    with pytest.raises(NodeError, match="CHECKPOINT_NOT_PINNED"):
        slots.checkpoint_of(told, "a")


def test_a_slot_without_configuration_is_refused(node_json: Callable[..., Path]) -> None:
    told = settings.load(node_json())
    with pytest.raises(NodeError, match="SLOT_NOT_CONFIGURED"):
        slots.checkpoint_of(told, "a")
    folder = told.slots_dir / "a" / "models" / "chat"
    folder.mkdir(parents=True)
    (folder / "config.pbtxt").write_text('name: "chat"\n')
    with pytest.raises(NodeError, match="SLOT_NOT_CONFIGURED"):
        slots.checkpoint_of(told, "a")
