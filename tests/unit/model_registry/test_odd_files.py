"""What nobody means and somebody does: names that are no text, figures that are none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from model_registry.adding import add
from model_registry.errors import RegistryError, RegistryRefused
from model_registry.layout import OciLayout
from model_registry.lineage import from_text
from model_registry.registry import Registry
from tests.unit.model_registry.models import folder


@pytest.mark.parametrize(
    "name", [b"a\nb.json", b"a\x1b[31m.json", b"\xff\xfe.json", b"a\\b.json", b"a\x7f.json"]
)
def test_a_file_name_that_is_no_plain_text_is_refused_and_leaves_nothing(
    registry: Registry, tmp_path: Path, name: bytes
) -> None:
    source = folder(tmp_path / "files", b"weights!")
    Path(os.fsdecode(os.fsencode(source) + b"/" + name)).write_bytes(b"{}")
    with pytest.raises(RegistryRefused, match="PATH_UNSAFE"):
        add(registry, source, "chat", "1")
    assert (registry.layout.stored(), registry.catalogue.events()) == (frozenset(), ())


def test_names_in_any_language_are_plain(registry: Registry, tmp_path: Path) -> None:
    source = folder(tmp_path / "files", b"weights!")
    (source / "größe 模型.json").write_bytes(b"{}")
    assert add(registry, source, "chat", "1").is_new


@pytest.mark.parametrize("figure", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400])
def test_evidence_is_of_figures(figure: str) -> None:
    with pytest.raises(RegistryRefused, match="LINEAGE_INVALID"):
        from_text(f'{{"method": "pretrain", "evidence": {{"final_loss": {figure}}}}}')


def test_json_without_end_is_no_lineage() -> None:
    with pytest.raises(RegistryRefused, match="LINEAGE_INVALID"):
        from_text("[" * 100_000)


@pytest.mark.parametrize(
    "index",
    [
        "[]",
        "[" * 100_000,
        '{"manifests": [{}]}',
        '{"manifests": [{"digest": "sha256:x", "mediaType": "m"}]}',
        '{"manifests": [{"digest": "../../passwd", "mediaType": "m"}]}',
        json.dumps({"manifests": [{"digest": "sha256:" + "0" * 64}]}),
    ],
)
def test_an_index_that_is_none_is_said_to_be_none(tmp_path: Path, index: str) -> None:
    layout = OciLayout.create(tmp_path / "oci")
    (layout.path / "index.json").write_text(index)
    with pytest.raises(RegistryError, match="LAYOUT_INVALID"):
        layout.entries()


@pytest.mark.parametrize("content", [b"no JSON", b"[]", b"[" * 100_000, b"\xff"])
def test_a_blob_that_is_no_object_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    layout = OciLayout.create(tmp_path / "oci")
    with pytest.raises(RegistryError, match="LAYOUT_INVALID"):
        layout.read_json(layout.add_bytes(content))
