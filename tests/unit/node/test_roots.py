"""What must stay: pinned, loaded, or the way back; everything else may be collected."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from permafrost.node import __main__ as command
from permafrost.node import served
from permafrost.node.collecting import collect
from permafrost.node.errors import NodeError
from permafrost.node.pull import pull
from permafrost.node.roots import Roots, Slot
from permafrost.node.scrub import STALE_DAYS, complaint, last, scrub
from permafrost.node.store import ModelStore
from tests.unit.node.conftest import FILES, FakeReader
from tests.unit.node.test_store import flip


@pytest.fixture
def versions(store: ModelStore, tmp_path: Path) -> list[str]:
    """Three versions that share a file."""
    made = []
    for number in range(3):
        reader = FakeReader({**FILES, "model.weights": f"weights {number}".encode() * 100})
        pull(reader.checkpoint, store, reader, tmp_path / "fp.json", dict)  # type: ignore[arg-type]
        made.append(reader.checkpoint)
    return made


@pytest.fixture
def roots(store: ModelStore) -> Roots:
    return Roots(store)


def visible(store: ModelStore) -> set[str]:
    return {p.name.replace("sha256-", "sha256:") for p in store.trees.glob("sha256-*")}


def inodes(store: ModelStore) -> dict[str, int]:
    return {str(p): p.stat().st_ino for p in store.trees.rglob("*") if p.is_file()}


def test_a_switch_and_a_rollback_copy_nothing(
    store: ModelStore, roots: Roots, versions: list[str]
) -> None:
    before = inodes(store)
    assert roots.switch("a", versions[0]) == Slot(versions[0], "")
    assert roots.switch("a", versions[1]) == Slot(versions[1], versions[0])
    assert roots.switch("a", versions[1]) == Slot(versions[1], versions[0])
    assert roots.rollback("a") == Slot(versions[0], versions[1])
    assert roots.rollback("a") == Slot(versions[1], versions[0])
    assert inodes(store) == before


def test_what_never_served_is_no_way_back(
    store: ModelStore, roots: Roots, versions: list[str]
) -> None:
    """The first served, the second was loaded and never admitted; the third is loaded now."""
    roots.switch("a", versions[0], served=None)
    roots.switch("a", versions[1], served=versions[0])
    assert roots.switch("a", versions[2], served=versions[0]) == Slot(versions[2], versions[0])
    collect(store, roots.kept)
    assert visible(store) == {versions[0], versions[2]}
    assert roots.rollback("a") == Slot(versions[0], versions[2])


def test_the_load_of_a_slot_asks_what_it_served(
    store: ModelStore,
    roots: Roots,
    versions: list[str],
    node_json: Callable[..., Path],
    tmp_path: Path,
) -> None:
    def load(version: str) -> Slot:
        place = tmp_path / "slots/a/models/chat"
        place.mkdir(parents=True, exist_ok=True)
        told = f'key: "checkpoint" value {{ string_value: "{version}" }}'
        (place / "config.pbtxt").write_text(told)
        given = node_json(checkpoint=version, served_dir=str(tmp_path))
        assert command.main(["--config", str(given), "verify", "--slot", "a"]) == 0
        return roots.slot("a")

    assert load(versions[0]) == Slot(versions[0], "")
    assert served.note(tmp_path, "a", versions[0])
    assert not served.note(tmp_path, "a", versions[0])
    assert load(versions[1]) == Slot(versions[1], versions[0])
    assert load(versions[2]) == Slot(versions[2], versions[0])
    served.note(tmp_path, "a", versions[2])
    assert load(versions[1]) == Slot(versions[1], versions[2])


@pytest.mark.parametrize("content", ["", "sha256:no", "\xff"])
def test_a_note_that_says_nothing_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "served-a").write_text(content, encoding="latin-1")
    assert served.last(tmp_path, "a") is None


def test_a_slot_is_not_pointed_at_what_is_not_here(roots: Roots, versions: list[str]) -> None:
    roots.switch("a", versions[0])
    with pytest.raises(NodeError, match="CHECKPOINT_NOT_HERE"):
        roots.switch("a", "sha256:" + "9" * 64)
    with pytest.raises(NodeError, match="NO_WAY_BACK"):
        roots.rollback("a")
    with pytest.raises(NodeError, match="NAME_INVALID"):
        roots.pin("../up", versions[0])
    assert roots.slot("a") == Slot(versions[0], "")


def test_a_collection_keeps_what_is_loaded_the_way_back_and_what_is_pinned(
    store: ModelStore, roots: Roots, versions: list[str]
) -> None:
    roots.switch("a", versions[0])
    roots.switch("a", versions[1])
    roots.pin("audit", versions[2])
    assert collect(store, roots.kept)["changed"] is False
    roots.unpin("audit")
    planned = collect(store, roots.kept, dry=True)
    assert planned["checkpoints"] == [versions[2]]
    assert visible(store) == set(versions)
    done = collect(store, roots.kept)
    assert (done["checkpoints"], done["changed"]) == ([versions[2]], True)
    assert visible(store) == set(versions[:2])
    for version in versions[:2]:
        store.verify(version)
    assert collect(store, roots.kept)["changed"] is False


def test_a_collection_takes_what_a_cut_pull_left(store: ModelStore, versions: list[str]) -> None:
    part = store.blobs / f".{'7' * 64}.part"
    part.write_bytes(b"half")
    half = store.trees / f".sha256-{'7' * 64}.part"
    half.mkdir()
    collect(store, lambda: {"pin": versions[0]})
    assert not part.exists()
    assert not half.exists()
    assert visible(store) == {versions[0]}


def test_nothing_is_collected_while_a_roots_needs_are_unknown(
    store: ModelStore, versions: list[str]
) -> None:
    manifest = store.blob(versions[0])
    manifest.chmod(0o644)
    manifest.write_bytes(b"{}")
    with pytest.raises(NodeError, match="CHECKPOINT_MANIFEST_WRONG"):
        collect(store, lambda: {"pin": versions[0]})
    assert visible(store) == set(versions)


def test_a_collection_waits_for_a_pull(store: ModelStore, versions: list[str]) -> None:
    done = threading.Event()

    def work() -> None:
        collect(store, lambda: {"pin": versions[0]})
        done.set()

    with store.adding():
        thread = threading.Thread(target=work)
        thread.start()
        assert not done.wait(0.2)
        assert visible(store) == set(versions)
    thread.join(10)
    assert done.is_set()


def test_the_scrub_names_the_file_and_the_state_shows_it(
    store: ModelStore, reader: FakeReader, versions: list[str], tmp_path: Path
) -> None:
    pull(reader.checkpoint, store, reader, tmp_path / "fp.json", dict)  # type: ignore[arg-type]
    root = store.trees.parent
    assert last(root) is None
    assert scrub(store)["wrong"] == []
    told = last(root)
    assert told is not None
    assert told["wrong"] == []
    assert complaint(told) == ""
    flip(store.tree(reader.checkpoint))
    (wrong,) = scrub(store)["wrong"]
    assert (wrong["checkpoint"], wrong["code"]) == (reader.checkpoint, "CHECKPOINT_BYTES_WRONG")
    assert "model.weights" in complaint(last(root))


def test_a_scrub_goes_on_past_a_lost_sector_and_tells(
    store: ModelStore, versions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = store.tree(versions[0]) / "model.weights"
    number, real = lost.stat().st_ino, hashlib.file_digest

    def read(file: Any, name: str) -> Any:
        if os.fstat(file.fileno()).st_ino == number:
            raise OSError(errno.EIO, "Input/output error")
        return real(file, name)

    monkeypatch.setattr(hashlib, "file_digest", read)
    assert scrub(store)["bytes"] > 0
    told = last(store.trees.parent)
    assert told is not None
    (wrong,) = told["wrong"]
    assert wrong["checkpoint"] == versions[0]
    assert f"{lost} cannot be read: Input/output error" in complaint(told)


def test_a_scrub_tells_also_what_fails_outside_the_files(
    store: ModelStore, versions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(ModelStore, "verify", fail)
    scrub(store)
    told = last(store.trees.parent)
    assert told is not None
    assert {w["code"] for w in told["wrong"]} == {"STORE_FAILED"}
    assert len(told["wrong"]) == len(versions)


def test_a_scrub_that_no_longer_comes_is_a_complaint() -> None:
    ended = datetime(2026, 1, 1, tzinfo=UTC)
    told = {"at": ended.isoformat(), "wrong": []}
    assert complaint(told, ended + timedelta(days=STALE_DAYS)) == ""
    assert "SCRUB_OVERDUE" in complaint(told, ended + timedelta(days=STALE_DAYS, seconds=1))
    assert complaint(None, ended) == ""


@pytest.mark.parametrize("at", ['"yesterday"', '"2026-01-01T00:00:00"', "7"])
def test_a_result_of_no_time_is_a_complaint(tmp_path: Path, at: str) -> None:
    (tmp_path / "scrub.json").write_text(f'{{"at": {at}, "wrong": []}}')
    assert "SCRUB_UNREADABLE" in complaint(last(tmp_path))


def test_what_is_pinned_while_a_collection_waits_is_kept(
    store: ModelStore,
    versions: list[str],
    node_json: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A name and the site's own pin, both moved after the command began."""
    given = ["--config", str(node_json(checkpoint=versions[0])), "gc"]
    thread = threading.Thread(target=command.main, args=(given,))
    with store.adding():
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        Roots(store).pin("audit", versions[1])
        node_json(checkpoint=versions[2])
    thread.join(10)
    assert visible(store) == set(versions[1:])
    kept = json.loads(capsys.readouterr().out)["kept"]
    assert kept == {"pin audit": versions[1], "pinned in slot a": versions[2]}


@pytest.mark.parametrize("change", ["pin", "switch", "rollback"])
def test_a_root_changes_only_before_or_after_a_collection(
    store: ModelStore, versions: list[str], roots: Roots, change: str
) -> None:
    roots.switch("a", versions[0])
    roots.switch("a", versions[1])
    work: dict[str, Callable[[], object]] = {
        "pin": lambda: roots.pin("audit", versions[2]),
        "switch": lambda: roots.switch("b", versions[2]),
        "rollback": lambda: roots.rollback("a"),
    }
    before = roots.kept()
    thread = threading.Thread(target=work[change])
    with store.collecting():
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        assert roots.kept() == before
    thread.join(10)
    assert roots.kept() != before


def test_a_result_that_cannot_be_read_is_a_complaint(tmp_path: Path) -> None:
    (tmp_path / "scrub.json").write_text("{")
    assert "SCRUB_UNREADABLE" in complaint(last(tmp_path))


def test_the_commands_keep_the_pin_of_the_site_and_tell(
    store: ModelStore,
    versions: list[str],
    node_json: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(*arguments: str) -> dict[str, Any]:
        given = ["--config", str(node_json(checkpoint=versions[0])), *arguments]
        assert command.main(given) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    assert run("pin", "audit", versions[1])["kept"] == {"pin audit": versions[1]}
    assert run("gc", "--dry-run")["checkpoints"] == [versions[2]]
    assert run("gc")["kept"] == {"pin audit": versions[1], "pinned in slot a": versions[0]}
    assert visible(store) == set(versions[:2])
    assert run("switch", "b", versions[1])["current"] == versions[1]
    assert run("unpin", "audit")["kept"] == {"slot b": versions[1]}
    assert run("scrub")["wrong"] == []
    assert command.main(["--config", str(node_json()), "rollback", "b"]) == command.REFUSED
