"""The chain of receipts: what was done to it afterwards is found."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from permafrost.engine.database import open_database
from permafrost.engine.state import StateStore
from permafrost.errors import Refused


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


def rewritten(store: StateStore, first: int) -> None:
    """Do what somebody may do who can write files and database, but cannot sign."""
    database, previous = open_database(store.state_dir), ""
    for number, path in enumerate(files(store), start=1):
        if number >= first:
            document = json.loads(path.read_text()) | {"operation": "op-9"}
            document["previous"] = previous or document["previous"]
            path.write_text(json.dumps(document))
        previous = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
        with database.begin() as connection:
            connection.execute(
                "UPDATE receipts SET digest = ? WHERE number = ?", (previous, number)
            )


def test_a_rewrite_of_files_and_database_both_is_found_by_the_signatures(
    store: StateStore,
) -> None:
    rewritten(store, 3)
    assert found(store) == [
        ("RECEIPT_SIGNATURE_WRONG", "000003-drain.json"),
        ("RECEIPT_SIGNATURE_WRONG", "000004-drain.json"),
    ]


def test_signatures_that_are_taken_away_are_missed(store: StateStore) -> None:
    for path in files(store)[2:]:
        path.with_suffix(".sig").unlink()
    assert [code for code, _ in found(store)] == ["RECEIPT_UNSIGNED"] * 2


def test_receipts_of_before_there_was_a_key_are_no_fault_but_for_an_auditor(
    store: StateStore, tmp_path: Path
) -> None:
    files(store)[0].with_suffix(".sig").unlink()
    assert found(store) == []
    key = store.state_dir / "receipts/signer.pem"
    assert [p.code for p in store.receipts.verify(key)[1]] == ["RECEIPT_UNSIGNED"]


def test_another_signer_is_found_by_the_key_that_an_auditor_kept(
    store: StateStore, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.pem"
    kept.write_bytes((store.state_dir / "receipts/signer.pem").read_bytes())
    assert store.receipts.verify(kept) == (4, ())
    (store.state_dir / "receipt-key.pem").unlink()
    assert {code for code, _ in found(store)} == {"RECEIPT_KEY_MISSING"}
    store.receipts.append("drain", {"operation": "op-5"})
    assert [code for code, _ in found(store)] == ["RECEIPT_OTHER_SIGNER"] * 4
    problems = store.receipts.verify(kept)[1]
    assert [(p.code, p.path) for p in problems] == [("RECEIPT_OTHER_SIGNER", "000005-drain.json")]
    with pytest.raises(Refused, match="RECEIPT_KEY_INVALID"):
        store.receipts.verify(tmp_path / "nothing.pem")


def test_what_was_cut_off_in_files_and_database_both_is_found_by_a_digest_that_was_kept(
    store: StateStore,
) -> None:
    kept = store.receipts.head()
    assert store.receipts.verify(kept=kept) == (4, ())
    files(store)[-1].unlink()
    with open_database(store.state_dir).begin() as connection:
        connection.execute("DELETE FROM receipts WHERE number = 4")
    assert found(store) == []
    assert [p.code for p in store.receipts.verify(kept=kept)[1]] == ["RECEIPT_TRUNCATED"]
