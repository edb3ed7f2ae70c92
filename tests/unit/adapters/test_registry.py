"""The catalogue port over registries that can and that cannot list referrers."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_registry.checkpoint import pack
from model_registry.client import RegistryClient
from model_registry.digests import canonical_json
from model_registry.fingerprint import referrers
from model_registry.http import httpx
from model_registry.layout import OciLayout
from model_registry.transfer import push_layout
from permafrost.adapters import registry
from permafrost.adapters.registry import OciCatalog
from permafrost.site.load import load_site
from tests.contract.registry.fake import PASSWORD, USER, FakeRegistry
from tests.fakes.site import document, write_site


@pytest.mark.parametrize("lists_referrers", [True, False])
def test_a_fingerprint_is_found(tmp_path: Path, lists_referrers: bool) -> None:
    remote = FakeRegistry(lists_referrers=lists_referrers)
    catalog, client, digest = _pushed(tmp_path, remote)
    pinned = f"tiny@{digest}"
    assert not catalog.resolve(pinned).has_fingerprint
    referrers.push(client, "checkpoints/tiny", digest, {"checkpoint": digest})
    fallback = digest.replace(":", "-")
    assert (("checkpoints/tiny", fallback) in remote.manifests) is not lists_referrers
    assert catalog.resolve(pinned).has_fingerprint


def test_one_under_its_writers_own_tag_is_found(tmp_path: Path) -> None:
    remote = FakeRegistry()
    catalog, client, digest = _pushed(tmp_path, remote)
    referrers.push(client, "checkpoints/tiny", digest, {"checkpoint": digest})
    empty = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json"}
    content = canonical_json({**empty, "manifests": []})
    client.put_tag("checkpoints/tiny", digest.replace(":", "-"), content)
    assert catalog.resolve(f"tiny@{digest}").has_fingerprint


def test_what_is_asked_for_one_command_goes_by_one_transport(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = FakeRegistry()
    given, client, digest = _pushed(tmp_path, remote)
    referrers.push(client, "checkpoints/tiny", digest, {"checkpoint": digest})
    made: list[float] = []

    def wire(_: object, *, idle_s: float) -> httpx.BaseTransport:
        made.append(idle_s)
        return remote.transport()

    monkeypatch.setattr(registry, "WireTransport", wire)
    monkeypatch.setattr(registry.OciCatalog, "_context", lambda _: None)
    catalog = OciCatalog(given._loaded)
    assert catalog.resolve(f"tiny@{digest}") == given.resolve(f"tiny@{digest}")
    catalog.ping()
    assert made == [registry.IDLE_S]


def _pushed(folder: Path, remote: FakeRegistry) -> tuple[OciCatalog, RegistryClient, str]:
    values = document()
    values["registry"]["username"] = USER
    site = write_site(folder, values)
    loaded = load_site(site)
    loaded.resolve(loaded.site.registry.password_file).write_text(PASSWORD)
    client = RegistryClient(
        "oci://registry.test", username=USER, password=PASSWORD, transport=remote.transport()
    )
    (folder / "model.weights").write_bytes(b"weights")
    layout = OciLayout.create(folder / "oci")
    digest = pack(folder / "model.weights", layout, "tiny")
    push_layout(folder / "oci", client, "checkpoints/tiny")
    return OciCatalog(loaded, transport=remote.transport()), client, digest
