"""A proxy's page of HTML, a redirect in a circle: one error with a code, nothing kept.

The real registry behind something that answers some paths itself; `permafrost-node` as a process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from model_registry.client import RegistryClient
from model_registry.errors import RegistryError
from permafrost.node.settings import Registry
from permafrost.node.store import ModelStore
from tests.contract.registry.fake import PASSWORD, USER
from tests.contract.registry.front import PAGE, Answer, Front, front, page
from tests.contract.registry.server import Server
from tests.contract.registry.test_node_pull import REPOSITORY, checkpoint, settings
from tests.unit.node.conftest import node_json

__all__ = ["checkpoint", "node_json", "settings"]

FAILED, REFUSED = 4, 3


@pytest.fixture
def before(server: Server) -> Iterator[Front]:
    with front(server) as made:
        yield made


@pytest.fixture
def node(
    before: Front, settings: Registry, node_json: Callable[..., Path]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return what runs `permafrost-node`, whose registry is the front."""
    told = replace(settings, url=f"https://{before.address}")
    config = node_json(registry={k: str(v) for k, v in vars(told).items()})

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "permafrost.node", "--config", str(config), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    return run


def around(path: str) -> Answer | None:
    there = path.replace("/blobs/", "/blobs//") if "//" not in path else path.replace("//", "/")
    return (307, {"Location": there}, b"") if "/blobs/" in path else None


ODD: dict[str, tuple[Callable[[str], Answer | None], str, int, str]] = {
    "a page for everything": (page("/"), "REGISTRY_BYTES_WRONG", REFUSED, "sent other bytes"),
    "a page for every file": (page("/blobs/"), "REGISTRY_BYTES_WRONG", REFUSED, "other bytes"),
    "a page for the referrers": (
        page("/referrers/"), "REGISTRY_ANSWER_INVALID", FAILED, "page of HTML",
    ),
    "a page for the referrers' tag": (
        page("/manifests/sha256-"), "REGISTRY_ANSWER_INVALID", FAILED, "page of HTML",
    ),
    "a list for the referrers": (
        lambda path: (200, {}, b"[]") if "/referrers/" in path else None,
        "REGISTRY_ANSWER_INVALID", FAILED, "no JSON object",
    ),
    "an index that lists no descriptors": (
        lambda path: (200, {}, b'{"manifests": [1]}') if "/referrers/" in path else None,
        "REGISTRY_ANSWER_INVALID", FAILED, "no index",
    ),
    "nesting without end": (
        lambda path: (200, {}, b"[" * 1_000_000) if "/referrers/" in path else None,
        "REGISTRY_ANSWER_INVALID", FAILED, "no JSON",
    ),
    "a redirect in a circle": (around, "REGISTRY_ANSWER_INVALID", FAILED, "redirects"),
    "a redirect to nowhere": (
        lambda path: (307, {}, b"") if "/blobs/" in path else None,
        "REGISTRY_ANSWER_INVALID", FAILED, "redirects",
    ),
}  # fmt: skip


@pytest.mark.exhaustive(2)
@pytest.mark.parametrize("name", ODD)
def test_a_node_says_what_came_and_goes_on_later(
    name: str,
    before: Front,
    checkpoint: str,
    node: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    answers, code, status, words = ODD[name]
    before.answers = answers
    store = ModelStore(tmp_path / "models")
    done = node("pull", checkpoint)
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{code}: ")
    assert words in line
    assert not (tmp_path / "fingerprint.json").exists()
    kept = [p for p in store.blobs.iterdir() if p.stat().st_size]
    assert all(PAGE not in p.read_bytes() for p in kept)

    before.answers = lambda _: None
    done = node("pull", checkpoint)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["changed"]
    assert store.verify(checkpoint)


Ask = Callable[[RegistryClient, str], object]


def referrers(client: RegistryClient, checkpoint: str) -> object:
    return client.referrers(REPOSITORY, checkpoint)


def by_tag(client: RegistryClient, _: str) -> object:
    return client.manifest(REPOSITORY, "latest")


CLIENTS: dict[str, tuple[Callable[[str], Answer | None], Ask, str]] = {
    "referrers": (page("/referrers/"), referrers, "REGISTRY_ANSWER_INVALID"),
    "tags": (page("/tags/"), referrers, "REGISTRY_ANSWER_INVALID"),
    "fallback tag": (page("/manifests/sha256-"), referrers, "REGISTRY_ANSWER_INVALID"),
    "manifest by a tag": (page("/manifests/latest"), by_tag, "MANIFEST_INVALID"),
    "circle": (lambda path: (307, {"Location": path}, b""), referrers, "REGISTRY_UNREACHABLE"),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_the_client_says_what_came(name: str, before: Front, checkpoint: str) -> None:
    before.answers, ask, code = CLIENTS[name]
    with RegistryClient(
        f"oci://{before.address}", username=USER, password=PASSWORD,
        ca_file=before.server.ca_file, pause=lambda _: None,
    ) as client:  # fmt: skip
        with pytest.raises(RegistryError) as caught:
            ask(client, checkpoint)
        assert caught.value.code == code
        before.answers = lambda _: None
        assert client.referrers(REPOSITORY, checkpoint)
