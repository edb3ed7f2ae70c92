"""``pull`` fetches what is missing or wrong, nothing else, and may be cut anywhere."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from permafrost.node.errors import NodeError
from permafrost.node.pull import pull
from permafrost.node.store import ModelStore, alone
from tests.unit.node.conftest import FILES, FakeReader, sha256


def run(store: ModelStore, reader: FakeReader, tmp_path: Path) -> dict[str, Any]:
    return pull(reader.checkpoint, store, reader, tmp_path / "fp.json", dict)  # type: ignore[arg-type]


def test_the_second_pull_changes_nothing(
    store: ModelStore, reader: FakeReader, tmp_path: Path
) -> None:
    first = run(store, reader, tmp_path)
    assert first["changed"]
    assert first["fetched_bytes"] == sum(map(len, FILES.values()))
    assert json.loads((tmp_path / "fp.json").read_bytes()) == reader.recorded
    again = run(store, reader, tmp_path)
    assert (again["changed"], again["fetched_bytes"]) == (False, 0)
    assert len(reader.downloads) == len(FILES)


def test_only_the_wrong_file_is_fetched_again(
    store: ModelStore, reader: FakeReader, tmp_path: Path
) -> None:
    run(store, reader, tmp_path)
    path = store.tree(reader.checkpoint) / "model.weights"
    path.chmod(0o644)
    path.write_bytes(b"x" * len(FILES["model.weights"]))
    path.chmod(0o444)
    reader.downloads.clear()
    assert run(store, reader, tmp_path)["changed"]
    assert reader.downloads == [sha256(FILES["model.weights"])]
    assert store.verify(reader.checkpoint)


def test_a_shared_file_is_stored_and_fetched_once(store: ModelStore, tmp_path: Path) -> None:
    first = FakeReader(FILES)
    second = FakeReader({**FILES, "model.weights": b"the next version"})
    run(store, first, tmp_path)
    run(store, second, tmp_path)
    assert second.downloads == [sha256(b"the next version")]
    assert store.verify(first.checkpoint)
    assert store.verify(second.checkpoint)


@pytest.mark.parametrize("cut_after", range(len(FILES)))
def test_a_pull_that_was_cut_goes_on(
    store: ModelStore, reader: FakeReader, tmp_path: Path, cut_after: int
) -> None:
    real = reader.download

    def cut(digest: str, size: int, part: Path) -> None:
        if len(reader.downloads) == cut_after:
            raise KeyboardInterrupt
        real(digest, size, part)

    reader.download = cut  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run(store, reader, tmp_path)
    assert not store.tree(reader.checkpoint).exists()
    reader.download = real  # type: ignore[method-assign]
    run(store, reader, tmp_path)
    assert len(reader.downloads) == len(FILES)
    assert store.verify(reader.checkpoint)


def test_a_tree_left_half_made_is_made_anew(
    store: ModelStore, reader: FakeReader, tmp_path: Path
) -> None:
    store.create()
    half = store.trees / f".sha256-{reader.checkpoint.removeprefix('sha256:')}.part" / "nested"
    half.mkdir(parents=True)
    (half / "left-over").write_bytes(b"")
    half.chmod(0o555)
    run(store, reader, tmp_path)
    assert store.verify(reader.checkpoint)


def test_a_fingerprint_of_another_checkpoint_is_refused(
    store: ModelStore, reader: FakeReader, tmp_path: Path
) -> None:
    reader.recorded["checkpoint"] = "sha256:" + "0" * 64
    with pytest.raises(NodeError, match="FINGERPRINT_OF_ANOTHER"):
        run(store, reader, tmp_path)
    assert not (tmp_path / "fp.json").exists()


def test_a_newer_fingerprint_replaces_the_old(
    store: ModelStore, reader: FakeReader, tmp_path: Path
) -> None:
    run(store, reader, tmp_path)
    reader.recorded["engine"] = {"version": "2"}
    assert run(store, reader, tmp_path)["changed"]
    assert json.loads((tmp_path / "fp.json").read_bytes())["engine"] == {"version": "2"}


def test_two_pulls_at_once_leave_one_fingerprint(
    store: ModelStore, reader: FakeReader, tmp_path: Path
) -> None:
    """The second waits while the first has the file beside the fingerprint in hand."""
    run(store, reader, tmp_path)
    reader.recorded["engine"] = {"version": "2"}
    thread = threading.Thread(target=run, args=(store, reader, tmp_path))
    with alone(tmp_path / ".fp.json.part") as part:
        part.write_bytes(b"half")
        thread.start()
        thread.join(0.3)
        assert part.read_bytes() == b"half"
        part.unlink()
    thread.join(10)
    assert json.loads((tmp_path / "fp.json").read_bytes())["engine"] == {"version": "2"}
