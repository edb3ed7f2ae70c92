"""Only bytes that are as pinned get a name, and each later change of them is named."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from permafrost.node.errors import NodeError
from permafrost.node.pull import pull
from permafrost.node.store import ModelStore, files_of
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


@pytest.mark.parametrize("harm", [flip, replace, delete, open_up, shorten])
def test_each_harm_is_refused_by_the_files_name(
    tree: Path, store: ModelStore, reader: FakeReader, harm: object
) -> None:
    harm(tree)  # type: ignore[operator]
    with pytest.raises(NodeError, match=r"CHECKPOINT_BYTES_WRONG.*/model\.weights "):
        store.verify(reader.checkpoint)


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
    with pytest.raises(NodeError, match="CHECKPOINT_BYTES_WRONG"):
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
