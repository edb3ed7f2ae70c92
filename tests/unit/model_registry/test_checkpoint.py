"""The same files give the same id, whenever and wherever they are packed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from model_registry import digests
from model_registry.checkpoint import check_path, files_of, pack
from model_registry.errors import RegistryError
from model_registry.layout import OciLayout
from model_registry.media_types import DOC, WEIGHT, WEIGHT_CONFIG, layer_type
from model_registry.verify import verify

KNOWN = "sha256:b5aebca5fc516e5ea4b7df1722235358a433a4677cd846c4858ed2b8c195beea"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    (made / "nested").mkdir(parents=True)
    (made / "model.weights").write_bytes(b"weights")
    (made / "nested" / "config.json").write_bytes(b"{}")
    (made / "README.md").write_bytes(b"about")
    return made


def test_the_id_depends_on_nothing_but_the_files(folder: Path, tmp_path: Path) -> None:
    first = pack(folder, OciLayout.create(tmp_path / "one"), "tiny")
    os.utime(folder / "model.weights", (1, 1))
    (folder / "README.md").chmod(0o600)
    assert pack(folder, OciLayout.create(tmp_path / "two"), "tiny") == first
    (folder / "model.weights").write_bytes(b"weightt")
    assert pack(folder, OciLayout.create(tmp_path / "two"), "tiny") != first


def test_the_id_of_a_known_checkpoint_never_changes(tmp_path: Path) -> None:
    # Pins in site files and releases rely on it: a change here breaks every one of them
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "pulse.weights").write_bytes(b"\0" * 32)
    assert pack(folder, OciLayout.create(tmp_path / "oci"), "known") == KNOWN


def test_each_file_is_one_raw_blob_under_its_own_digest(folder: Path, tmp_path: Path) -> None:
    layout = OciLayout.create(tmp_path / "oci")
    checkpoint = pack(folder, layout, "tiny")
    files = {f.path: f for f in files_of(layout.read_json(checkpoint))}
    assert set(files) == {"README.md", "model.weights", "nested/config.json"}
    for path, file in files.items():
        assert file.digest == digests.of_file(folder / path)
        assert layout.blob_path(file.digest).read_bytes() == (folder / path).read_bytes()
    assert files["model.weights"].media_type == WEIGHT
    assert files["nested/config.json"].media_type == WEIGHT_CONFIG
    assert files["README.md"].media_type == DOC


def test_one_flipped_bit_is_named(folder: Path, tmp_path: Path) -> None:
    layout = OciLayout.create(tmp_path / "oci")
    checkpoint = pack(folder, layout, "tiny")
    assert verify(layout, checkpoint).holds
    blob = layout.blob_path(digests.of_file(folder / "model.weights"))
    blob.write_bytes(b"weighus")
    verdict = verify(layout, checkpoint)
    assert verdict.wrong == ("model.weights",)
    blob.unlink()
    assert verify(layout, checkpoint).wrong == ("model.weights",)


def test_a_folder_without_weights_or_with_links_is_refused(folder: Path, tmp_path: Path) -> None:
    layout = OciLayout.create(tmp_path / "oci")
    (folder / "link.bin").symlink_to("/etc/hostname")
    with pytest.raises(RegistryError, match="FILE_UNUSUAL"):
        pack(folder, layout, "tiny")
    (folder / "link.bin").unlink()
    (folder / "model.weights").unlink()
    with pytest.raises(RegistryError, match="WEIGHTS_MISSING"):
        pack(folder, layout, "tiny")


def test_a_manifest_of_another_kind_is_no_checkpoint() -> None:
    with pytest.raises(RegistryError, match="NOT_A_CHECKPOINT"):
        files_of({"artifactType": None, "layers": []})


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../up", "a/../../b", "a//b", "./a", "a\\b"])
def test_a_path_that_leaves_the_tree_is_refused(path: str) -> None:
    with pytest.raises(RegistryError, match="PATH_UNSAFE"):
        check_path(path)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.gguf", WEIGHT), ("b/c.safetensors", WEIGHT), ("vocab.txt", WEIGHT_CONFIG),
     ("chat_template.jinja", WEIGHT_CONFIG), ("LICENSE", DOC), ("x/notes.txt", DOC)],
)  # fmt: skip
def test_media_types_follow_names(name: str, kind: str) -> None:
    assert layer_type(name) == kind


@pytest.mark.parametrize(
    "name", ["a.pth", "a.ckpt", "a.h5", "a.msgpack", "a.tflite", "a.npz", "a.gguf"]
)
def test_weights_of_every_known_format_are_weights(name: str) -> None:
    assert layer_type(name) == WEIGHT
