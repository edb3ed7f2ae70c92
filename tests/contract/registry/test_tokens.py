"""A registry that wants tokens: the client, a node and the catalogue port all get in, by name."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model_registry.checkpoint import pack
from model_registry.client import RegistryClient
from model_registry.errors import RegistryError
from model_registry.fingerprint.referrers import attach
from model_registry.layout import OciLayout
from model_registry.transfer import pull as pull_layout
from model_registry.transfer import push_layout
from permafrost.adapters.registry import OciCatalog
from permafrost.errors import Failed
from permafrost.node.errors import NodeError
from permafrost.node.pull import pull
from permafrost.node.registry import RegistryReader
from permafrost.node.settings import Registry
from permafrost.node.store import ModelStore
from permafrost.site.load import load_site
from tests.contract.registry.fake import PASSWORD, USER
from tests.contract.registry.server import Server, token_registry
from tests.contract.registry.token_server import Realm
from tests.fakes.site import document, write_site

REPOSITORY = "checkpoints/tiny"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Realm]]:
    with token_registry(tmp_path_factory.mktemp("tokens")) as both:
        yield both


@pytest.fixture
def server(running: tuple[Server, Realm]) -> Server:
    return running[0]


@pytest.fixture
def realm(running: tuple[Server, Realm]) -> Realm:
    running[1].asked.clear()
    return running[1]


def client_of(server: Server, password: str = PASSWORD) -> RegistryClient:
    return RegistryClient(
        f"oci://{server.address}", username=USER, password=password, ca_file=server.ca_file
    )


@pytest.fixture
def checkpoint(server: Server, realm: Realm, files: Path, tmp_path: Path) -> str:
    """Pushed with tokens; attached with the fallback tag, which wants to write and to list."""
    layout = OciLayout.create(tmp_path / "oci")
    made = pack(files, layout, "tiny")
    attach(layout, made, {"schema": 1, "checkpoint": made, "probes": []})
    with client_of(server) as client:
        push_layout(layout.path, client, REPOSITORY)
    assert realm.asked, "nobody was asked for a token"
    return made


def test_the_client_pushes_and_pulls(server: Server, checkpoint: str, tmp_path: Path) -> None:
    target = OciLayout.create(tmp_path / "pulled")
    with client_of(server) as client:
        assert pull_layout(client, REPOSITORY, checkpoint, target) == checkpoint
        assert len(client.referrers(REPOSITORY, checkpoint)) == 1


def settings(server: Server, folder: Path, password: str = PASSWORD) -> Registry:
    file = folder / "password"
    file.write_text(password + "\n")
    return Registry(f"https://{server.address}", REPOSITORY, USER, file, server.ca_file)


def test_a_node_pulls(server: Server, realm: Realm, checkpoint: str, tmp_path: Path) -> None:
    store, reader = ModelStore(tmp_path / "models"), RegistryReader(settings(server, tmp_path))
    realm.asked.clear()
    assert pull(checkpoint, store, reader, tmp_path / "fp.json", dict)["fetched_bytes"] > 0
    assert store.verify(checkpoint)
    assert set(realm.asked) == {f"repository:{REPOSITORY}:pull"}, "no more than it needs"
    asked = len(realm.asked)
    reader.manifest(checkpoint)
    assert len(realm.asked) == asked, "a token is used until it is challenged again"


def test_a_token_that_ended_is_renewed(
    server: Server, realm: Realm, checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = RegistryReader(settings(server, tmp_path))
    # A minute ago, past what the registry grants to clocks that are apart
    monkeypatch.setattr(realm, "valid_s", -90.0)
    with pytest.raises(NodeError, match="REGISTRY_DENIED"):
        reader.manifest(checkpoint)
    monkeypatch.setattr(realm, "valid_s", 300.0)
    assert reader.manifest(checkpoint)


def test_a_node_with_another_password_is_denied(
    server: Server, checkpoint: str, tmp_path: Path
) -> None:
    reader = RegistryReader(settings(server, tmp_path, "wrong"))
    with pytest.raises(NodeError, match=r"REGISTRY_DENIED.*realm"):
        reader.manifest(checkpoint)


def test_the_client_with_another_password_is_denied(server: Server, checkpoint: str) -> None:
    with client_of(server, "wrong") as client, pytest.raises(RegistryError, match="DENIED"):
        client.manifest(REPOSITORY, checkpoint)


def catalog(server: Server, folder: Path, password: str) -> OciCatalog:
    values: dict[str, Any] = document()
    values["registry"] |= {"url": f"oci://{server.address}", "username": USER}
    loaded = load_site(write_site(folder / "site", values))
    loaded.resolve(loaded.site.registry.password_file).write_text(password)
    shutil.copyfile(server.ca_file, loaded.resolve(loaded.site.registry.ca_file))
    return OciCatalog(loaded)


def test_the_catalogue_port_resolves(server: Server, checkpoint: str, tmp_path: Path) -> None:
    found = catalog(server, tmp_path, PASSWORD).resolve(f"tiny@{checkpoint}")
    assert (found.digest, found.files, found.has_fingerprint) == (checkpoint, 3, True)


def test_the_catalogue_port_with_another_password_is_told_so(
    server: Server, checkpoint: str, tmp_path: Path
) -> None:
    with pytest.raises(Failed, match="REGISTRY_LOGIN"):
        catalog(server, tmp_path, "wrong").resolve(f"tiny@{checkpoint}")
