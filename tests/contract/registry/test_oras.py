"""`oras` of the pinned version, built from its Go module, reads and writes what we do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from model_registry.adding import add
from model_registry.exchange import pull_version, push_version
from model_registry.meter import Meter
from model_registry.registry import Registry
from model_registry.signatures import sign
from model_registry.verify import verify
from tests.contract.registry.fake import PASSWORD, USER
from tests.contract.registry.oras import oras_command
from tests.contract.registry.server import Server
from tests.contract.registry.test_exchange import client_of, files, repository_of
from tests.unit.model_registry.keys import keys

pytestmark = pytest.mark.soak


@pytest.fixture(scope="session")
def oras() -> Path:
    return oras_command()


def run(oras: Path, server: Server, cwd: Path, *words: str) -> str:
    login = ["--username", USER, "--password-stdin", "--ca-file", str(server.ca_file)]
    done = subprocess.run(
        [str(oras), *words, *login],
        cwd=cwd, check=False, capture_output=True, text=True, timeout=120, input=PASSWORD,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_oras_reads_a_checkpoint_and_finds_its_signature(
    oras: Path, server: Server, tmp_path: Path
) -> None:
    registry = Registry.open(tmp_path / "models", who="ada", create=True)
    added = add(registry, files(tmp_path / "f", a=1), "for-oras", "1")
    version = registry.resolve(added.digest)
    signed = sign(registry, version, keys(tmp_path, "release")[0])
    with client_of(server) as client:
        push_version(registry, version, client, repository_of, Meter())
    remote = f"{server.address}/checkpoints/for-oras:1"
    assert added.digest in run(oras, server, tmp_path, "manifest", "fetch", "--descriptor", remote)
    assert signed.signature in run(oras, server, tmp_path, "discover", "--format", "json", remote)


def test_what_oras_pushes_is_registered(oras: Path, server: Server, tmp_path: Path) -> None:
    source = files(tmp_path / "f", a=1)
    remote = f"{server.address}/checkpoints/pushed-by-oras:v1"
    run(oras, server, source, "push", remote, "a.bin", "config.json")
    registry = Registry.open(tmp_path / "models", who="ada", create=True)
    with client_of(server) as client:
        added = pull_version(
            registry, client, "checkpoints/pushed-by-oras", "v1", "theirs", "1", Meter()
        )
    verdict = verify(registry.layout, added.digest)
    assert ({f.path for f in verdict.files}, verdict.holds) == ({"a.bin", "config.json"}, True)
