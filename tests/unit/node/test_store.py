"""Only bytes that are as pinned get a name, and each later change of them is named."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from permafrost.node import reading
from permafrost.node import store as store_module
from permafrost.node.errors import NodeError
from permafrost.node.manifests import files_of
from permafrost.node.pull import pull
from permafrost.node.store import ModelStore
from tests.unit.node.conftest import FILES, FakeReader


@pytest.fixture
def tree(store: ModelStore, reader: FakeReader, tmp_path: Path) -> Path:
    pull(reader.checkpoint, store, reader, tmp_path / "fingerprint.json", dict)  # type: ignore[arg-type]
    return store.tree(reader.checkpoint)


def test_a_tree_is_read_only_and_made_of_the_blobs(
    tree: Path, store: ModelStore, reader: FakeReader
) -> None:
    files = store.verify(reader.checkpoint)
    assert {f.path for f in files} == set(FILES)
    for file in files:
        path = tree / file.path
        assert path.stat().st_ino == store.blob(file.digest).stat().st_ino
        assert stat.S_IMODE(path.stat().st_mode) == 0o444
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o555


def change(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(0o444)


def flip(tree: Path) -> None:
    content = bytearray(FILES["model.weights"])
    content[500] ^= 1
    change(tree / "model.weights", bytes(content))


def replace(tree: Path) -> None:
    tree.chmod(0o755)
    (tree / "model.weights").unlink()
    (tree / "model.weights").symlink_to("/etc/hostname")


def delete(tree: Path) -> None:
    tree.chmod(0o755)
    (tree / "model.weights").unlink()


def open_up(tree: Path) -> None:
    (tree / "model.weights").chmod(0o644)


def shorten(tree: Path) -> None:
    change(tree / "model.weights", b"short")


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (flip, "CHECKPOINT_BYTES_WRONG"),
        (replace, "CHECKPOINT_FILE_FOREIGN"),
        (delete, "CHECKPOINT_FILE_MISSING"),
        (open_up, "CHECKPOINT_FILE_WRITABLE"),
        (shorten, "CHECKPOINT_FILE_TRUNCATED"),
    ],
)
def test_each_harm_is_refused_by_its_code_and_the_files_name(
    tree: Path, store: ModelStore, reader: FakeReader, harm: Callable[[Path], None], code: str
) -> None:
    harm(tree)
    with pytest.raises(NodeError, match=rf"{code}.*/model\.weights "):
        store.verify(reader.checkpoint)


def test_of_several_harms_the_worst_gives_the_code_and_each_file_is_named(
    tree: Path, store: ModelStore, reader: FakeReader
) -> None:
    change(tree / "nested/vocab.json", b"[]")
    delete(tree)
    with pytest.raises(NodeError) as caught:
        store.verify(reader.checkpoint)
    assert caught.value.code == "CHECKPOINT_BYTES_WRONG"
    assert "model.weights is missing" in caught.value.message
    assert "vocab.json holds other bytes" in caught.value.message


def test_files_are_read_side_by_side_and_progress_is_told(
    tree: Path, store: ModelStore, reader: FakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files meet in the middle of their reads: one after the other they never would."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    both, real, seen = threading.Barrier(2, timeout=20), hashlib.file_digest, []

    def read(file: Any, name: str) -> Any:
        both.wait()
        return real(file, name)

    monkeypatch.setattr(hashlib, "file_digest", read)
    files = store.verify(reader.checkpoint, progress=seen.append)
    assert sum(seen) == sum(file.size for file in files)


@pytest.mark.parametrize("name", ["extra.bin", "nested/extra.jinja"])
def test_a_file_that_nobody_promised_is_refused(
    tree: Path, store: ModelStore, reader: FakeReader, name: str
) -> None:
    path = tree / name
    path.parent.chmod(0o755)
    path.write_bytes(b"template from elsewhere")
    with pytest.raises(NodeError, match=f"{name} is not part"):
        store.verify(reader.checkpoint)


def test_a_changed_manifest_is_refused(tree: Path, store: ModelStore, reader: FakeReader) -> None:
    blob = store.blob(reader.checkpoint)
    change(blob, blob.read_bytes().replace(b"vocab", b"VOCAB"))
    with pytest.raises(NodeError, match="CHECKPOINT_MANIFEST_WRONG"):
        store.verify(reader.checkpoint)


def test_what_was_never_fetched_is_refused(store: ModelStore, reader: FakeReader) -> None:
    with pytest.raises(NodeError, match="CHECKPOINT_NOT_HERE"):
        store.verify(reader.checkpoint)


@pytest.mark.parametrize("path", ["/abs", "../up", "a/../../b", "a//b"])
def test_a_manifest_cannot_name_files_outside_its_tree(path: str) -> None:
    layer = {
        "digest": "sha256:" + "0" * 64,
        "size": 1,
        "annotations": {"org.cncf.model.filepath": path},
    }
    manifest = {"artifactType": "application/vnd.cncf.model.manifest.v1+json", "layers": [layer]}
    with pytest.raises(NodeError, match="PATH_UNSAFE"):
        files_of(manifest)


@pytest.fixture
def lose(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Let each read of one file's bytes fail as a lost sector does, until it is another file."""

    def harm(path: Path) -> None:
        number, real = path.stat().st_ino, hashlib.file_digest

        def read(file: Any, name: str) -> Any:
            if os.fstat(file.fileno()).st_ino == number:
                raise OSError(errno.EIO, "Input/output error")
            return real(file, name)

        monkeypatch.setattr(hashlib, "file_digest", read)

    return harm


def test_a_lost_sector_is_refused_by_the_files_name(
    tree: Path, store: ModelStore, reader: FakeReader, lose: Callable[[Path], None]
) -> None:
    lose(tree / "model.weights")
    with pytest.raises(NodeError, match=r"FILE_UNREADABLE.*/model\.weights cannot be read: Input"):
        store.verify(reader.checkpoint)


def test_a_manifest_that_cannot_be_read_is_refused_by_its_name(
    tree: Path, store: ModelStore, reader: FakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", read)
    with pytest.raises(
        NodeError, match=f"FILE_UNREADABLE.*{reader.checkpoint[7:]} cannot be read"
    ):
        store.verify(reader.checkpoint)


def test_a_pull_fetches_again_what_the_disk_has_lost(
    tree: Path,
    store: ModelStore,
    reader: FakeReader,
    tmp_path: Path,
    lose: Callable[[Path], None],
) -> None:
    lose(tree / "model.weights")
    reader.downloads.clear()
    pull(reader.checkpoint, store, reader, tmp_path / "fingerprint.json", dict)  # type: ignore[arg-type]
    assert len(reader.downloads) == 1
    assert store.verify(reader.checkpoint)


def test_a_wrong_tree_is_whole_under_its_name_until_the_right_one_takes_it(
    tree: Path, store: ModelStore, reader: FakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.chmod(0o755)
    (tree / "foreign").write_bytes(b"")
    removed: list[Path] = []
    real = store_module.remove_tree

    def remove(folder: Path) -> None:
        removed.append(folder)
        if folder.exists():  # the right one has the name before the wrong one is taken apart
            assert not reading.damages(tree, files)
        real(folder)

    monkeypatch.setattr(store_module, "remove_tree", remove)
    files = files_of(store.manifest(reader.checkpoint))
    assert store.build_tree(reader.checkpoint, files)
    assert removed
    assert store.verify(reader.checkpoint)
    assert [p.name for p in store.trees.iterdir()] == [tree.name]
    assert not [p for p in store.blobs.iterdir() if p.name.startswith(".")]


def test_a_tree_has_one_builder_at_a_time(
    tree: Path, store: ModelStore, reader: FakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second waits for the first, which is held in the middle, and finds the tree made."""
    middle, onward, made = threading.Event(), threading.Event(), []
    real = Path.hardlink_to

    def link(path: Path, target: Path) -> None:
        real(path, target)
        middle.set()
        assert onward.wait(10)

    def work() -> None:
        with store.adding():
            made.append(store.build_tree(reader.checkpoint, files))

    files = files_of(store.manifest(reader.checkpoint))
    store_module.remove_tree(tree)
    monkeypatch.setattr(Path, "hardlink_to", link)
    first, second = (threading.Thread(target=work) for _ in range(2))
    first.start()
    assert middle.wait(10)
    second.start()
    second.join(0.3)
    assert second.is_alive()
    onward.set()
    first.join(10)
    second.join(10)
    assert sorted(made) == [False, True]
    assert store.verify(reader.checkpoint)


def test_a_small_blob_has_one_writer_at_a_time(store: ModelStore) -> None:
    """Whoever comes while another writes waits, and leaves the same bytes under the name."""
    store.create()
    content = b"small"
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    thread = threading.Thread(target=store.keep_bytes, args=(content, digest))
    with store.part(digest) as part:
        part.write_bytes(content[:2])
        thread.start()
        thread.join(0.2)
        assert part.read_bytes() == content[:2]
        part.write_bytes(content)
        store.keep(part, digest)
    thread.join(10)
    assert store.holds(digest)


def test_what_another_pull_has_mended_meanwhile_stays(
    tree: Path, store: ModelStore, reader: FakeReader
) -> None:
    """A blob that was found wrong is looked at again once nobody else may write it."""
    flip(tree)
    content = FILES["model.weights"]
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    held: list[bool] = []
    thread = threading.Thread(target=lambda: held.append(store.holds(digest)))
    with store.part(digest) as part:
        part.write_bytes(content)
        thread.start()
        thread.join(0.2)
        store.keep(part, digest)
    thread.join(10)
    assert held == [True]
    assert not [p for p in store.blobs.iterdir() if p.name.startswith(".")]
    assert store.blob(digest).read_bytes() == content
