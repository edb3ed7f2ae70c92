"""Fingerprints of what a checkpoint was made from are found, wherever the parent lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_registry.adding import annotations_of
from model_registry.checkpoint import pack
from model_registry.client import RegistryClient
from model_registry.fingerprint import referrers
from model_registry.layout import OciLayout
from model_registry.lineage import Lineage, Method, Parent
from model_registry.transfer import push_layout
from permafrost.adapters.fingerprints import OciFingerprints
from permafrost.site.load import load_site
from tests.contract.registry.fake import PASSWORD, USER, FakeRegistry
from tests.fakes.site import document, write_site


@pytest.mark.parametrize(
    ("place", "named", "is_found"),
    [
        ("child", "", True),  # another version of the same name
        ("base", "base", True),  # another model's, which the lineage names
        ("served", "", True),  # no name, but the site serves it
        ("base", "", False),
        ("base", "../up", False),
    ],
)
def test_a_parents_fingerprint_is_looked_for_in_its_own_repository(
    tmp_path: Path, place: str, named: str, is_found: bool
) -> None:
    remote = FakeRegistry()
    client = RegistryClient(
        "oci://registry.test", username=USER, password=PASSWORD, transport=remote.transport()
    )

    def pushed(name: str, content: bytes, lineage: Lineage | None = None) -> str:
        folder = tmp_path / content.decode()
        folder.mkdir()
        (folder / "model.weights").write_bytes(content)
        layout = OciLayout.create(folder / "oci")
        annotations = annotations_of(lineage, ())
        digest = pack(folder / "model.weights", layout, name, annotations=annotations)
        push_layout(layout.path, client, f"checkpoints/{name}")
        return digest

    parent = pushed(place, b"parent")
    referrers.push(client, f"checkpoints/{place}", parent, {"checkpoint": parent})
    child = pushed("child", b"child", Lineage(Method.QUANTISE, (Parent(parent, named),)))
    values = document()
    values["registry"]["username"] = USER
    values["inference"]["chat"]["model"] = f"served@{parent}"
    loaded = load_site(write_site(tmp_path / "site", values))
    loaded.resolve(loaded.site.registry.password_file).write_text(PASSWORD)
    store = OciFingerprints(loaded, transport=remote.transport())
    found = store.of_parents(f"child@{child}")
    assert [f["checkpoint"] for f in found] == ([parent] if is_found else [])
