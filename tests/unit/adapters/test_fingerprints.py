"""Fingerprints of what a checkpoint was made from are found, wherever the parent lies."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from model_registry.adding import annotations_of
from model_registry.checkpoint import pack
from model_registry.client import RegistryClient
from model_registry.fingerprint import baselines, referrers
from model_registry.layout import OciLayout
from model_registry.lineage import Lineage, Method, Parent
from model_registry.transfer import push_layout
from permafrost.adapters.fingerprints import OciFingerprints
from permafrost.adapters.registry import OciCatalog
from permafrost.errors import Refused
from permafrost.site.load import load_site
from tests.contract.registry.fake import PASSWORD, USER, FakeRegistry
from tests.fakes.site import document, write_site
from tests.unit.model_registry.keys import keys


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


@pytest.fixture
def remote() -> FakeRegistry:
    return FakeRegistry()


def test_baselines_that_nobody_trusted_signed_count_for_nothing(
    tmp_path: Path, remote: FakeRegistry
) -> None:
    """Unsigned, signed by another, signed, then one that somebody slipped in beside it."""
    client = RegistryClient(
        "oci://registry.test", username=USER, password=PASSWORD, transport=remote.transport()
    )
    (tmp_path / "model.weights").write_bytes(b"weights")
    layout = OciLayout.create(tmp_path / "oci")
    digest = pack(tmp_path / "model.weights", layout, "tiny")
    push_layout(layout.path, client, "checkpoints/tiny")
    mine, trusted = keys(tmp_path, "release")
    other, _ = keys(tmp_path, "other")
    values = document()
    values["registry"]["username"] = USER
    site = write_site(tmp_path / "site", values)
    shutil.copyfile(trusted.anchor, site.parent / "release.pub")
    values["registry"]["signatures"] = {
        "signers": {"release": "release.pub"},
        "required_for": ["fingerprint"],
    }
    write_site(site.parent, values)
    loaded = load_site(site)
    loaded.resolve(loaded.site.registry.password_file).write_text(PASSWORD)
    store = OciFingerprints(loaded, transport=remote.transport())
    catalog = OciCatalog(loaded, transport=remote.transport())
    pinned = f"tiny@{digest}"
    assert store.known(pinned) == (), "the first is still to be recorded"

    def count() -> int:
        assert catalog.resolve(pinned).has_fingerprint
        return len(store.known(pinned))

    def refused() -> None:
        assert not catalog.resolve(pinned).has_fingerprint
        with pytest.raises(Refused, match="FINGERPRINT_UNSIGNED"):
            store.known(pinned)

    store.add(pinned, {"schema": 2, "checkpoint": digest, "probes": [1]})
    refused()
    assert len(store.sign(pinned, other)) == 1
    refused()
    store.sign(pinned, mine)
    assert count() == 1
    store.add(pinned, {"schema": 2, "checkpoint": digest, "probes": [666]})
    assert count() == 1
    assert store.known(pinned)[0]["probes"] == [1]


def test_a_signature_of_other_bytes_does_not_hold(tmp_path: Path, remote: FakeRegistry) -> None:
    mine, trusted = keys(tmp_path, "release")
    client = RegistryClient(
        "oci://registry.test", username=USER, password=PASSWORD, transport=remote.transport()
    )
    (tmp_path / "model.weights").write_bytes(b"weights")
    layout = OciLayout.create(tmp_path / "oci")
    digest = pack(tmp_path / "model.weights", layout, "tiny")
    push_layout(layout.path, client, "checkpoints/tiny")
    referrers.push(client, "checkpoints/tiny", digest, {"checkpoint": digest, "probes": []})
    (found,) = referrers.found_in_registry(client, "checkpoints/tiny", digest)
    baselines.sign(client, "checkpoints/tiny", found, mine)
    assert baselines.signed_by(client, "checkpoints/tiny", found, [trusted]) == ("release",)
    edited = referrers.Found(found.artifact, found.content.replace(b"[]", b"[7]"))
    assert baselines.signed_by(client, "checkpoints/tiny", edited, [trusted]) == ()
