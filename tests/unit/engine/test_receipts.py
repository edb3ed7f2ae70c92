"""The chain of receipts: what was done to it afterwards is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from permafrost.engine.state import StateStore


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    store = StateStore(tmp_path / "state")
    for n in range(1, 5):
        store.receipts.append("drain", {"operation": f"op-{n}", "steps": [n]})
    return store


def files(store: StateStore) -> list[Path]:
    return sorted((store.state_dir / "receipts").glob("*.json"))


def found(store: StateStore) -> list[tuple[str, str]]:
    return [(p.code, p.path) for p in store.receipts.verify()[1]]


def test_an_untouched_chain_holds(store: StateStore) -> None:
    assert store.receipts.verify() == (4, ())
    assert files(store)[0].name == "000001-drain.json"
    assert all(f.stat().st_mode & 0o077 == 0 for f in files(store))


def test_an_edit_is_found(store: StateStore) -> None:
    path = files(store)[1]
    path.write_text(path.read_text().replace("op-2", "op-9"))
    assert found(store) == [("RECEIPT_CHANGED", "000002-drain.json")]


def test_a_chain_that_was_written_anew_is_found(store: StateStore, tmp_path: Path) -> None:
    other = StateStore(tmp_path / "other")
    other.receipts.append("drain", {"operation": "op-1", "steps": ["another story"]})
    for path in files(store)[1:]:
        other.receipts.append("drain", {k: json.loads(path.read_text())[k] for k in ("steps",)})
    for mine, theirs in zip(files(store), files(other), strict=True):
        mine.write_bytes(theirs.read_bytes())
    assert other.receipts.verify()[1] == ()
    assert [path for _, path in found(store)] == [f.name for f in files(store)]


@pytest.mark.parametrize("left", [0, 1, 3])
def test_a_chain_that_was_cut_off_is_found(store: StateStore, left: int) -> None:
    for path in files(store)[left:]:
        path.unlink()
    assert [code for code, _ in found(store)] == ["RECEIPT_MISSING"] * (4 - left)


def test_a_receipt_put_in_is_found_and_one_of_a_killed_run_replaced(store: StateStore) -> None:
    stray = store.state_dir / "receipts/000005-undrain.json"
    stray.write_text("{}")
    assert found(store) == [("RECEIPT_UNCHAINED", "000005-undrain.json")]
    store.receipts.append("drain", {"operation": "op-5"})
    assert not stray.exists()
    assert store.receipts.verify() == (5, ())
