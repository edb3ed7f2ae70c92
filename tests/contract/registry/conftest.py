from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_registry.client import RegistryClient
from tests.contract.registry.fake import PASSWORD, USER, FakeRegistry
from tests.contract.registry.server import Server, docker_registry

NewClient = Callable[..., RegistryClient]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(params=["fake", "fake that lists referrers", "docker-registry"])
def new_client(request: pytest.FixtureRequest) -> NewClient:
    """Return clients of one registry; the suite holds for each of them."""
    if request.param == "docker-registry":
        running: Server = request.getfixturevalue("server")

        def real(username: str = USER, password: str = PASSWORD) -> RegistryClient:
            return RegistryClient(
                f"oci://{running.address}",
                username=username,
                password=password,
                ca_file=running.ca_file,
            )

        return real
    registry = FakeRegistry(lists_referrers="lists" in request.param)

    def faked(username: str = USER, password: str = PASSWORD) -> RegistryClient:
        return RegistryClient(
            "oci://registry.test",
            username=username,
            password=password,
            transport=registry.transport(),
        )

    return faked


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A checkpoint with a weight file larger than one upload chunk."""
    folder = tmp_path / "files"
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "model.weights").write_bytes(bytes(range(256)) * (80 << 10))
    (folder / "tokenizer" / "vocab.json").write_text('{"a": 1}')
    (folder / "README.md").write_text("what it is\n")
    return folder
