"""Each kind of damage against each command that would pass it on: its code, nothing changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_registry.bundle import export
from model_registry.catalogue.audit import audit
from model_registry.catalogue.model import Verb
from model_registry.checkpoint import files_of
from model_registry.client import RegistryClient
from model_registry.errors import RegistryError
from model_registry.exchange import push_version
from model_registry.layout import OciLayout
from model_registry.meter import Meter
from model_registry.promotion import carry_out
from model_registry.registry import Registry
from model_registry.signatures import sign
from model_registry.verify import verify
from tests.contract.registry.fake import PASSWORD, USER, FakeRegistry
from tests.unit.model_registry.keys import keys
from tests.unit.model_registry.models import added

Bench = tuple[Registry, FakeRegistry, Path]
WHOLE = "CHECKPOINT_DAMAGED"


def flipped(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def weights(layout: OciLayout, digest: str) -> Path:
    file = next(f for f in files_of(layout.read_json(digest)) if f.path == "model.safetensors")
    return layout.blob_path(file.digest)


def manifest(layout: OciLayout, digest: str) -> Path:
    return layout.blob_path(digest)


# what is damaged, how; the code of `verify`, and those of sign, promote, export, push
DAMAGES: dict[str, tuple[Any, Callable[[Path], Any], str, tuple[str, str, str, str]]] = {
    "a flipped byte": (
        weights, flipped, "BLOB_CHANGED", (WHOLE, WHOLE, "BLOB_CHANGED", "BLOB_CHANGED"),
    ),
    "a truncated blob": (
        weights, cut_off, "BLOB_TRUNCATED", (WHOLE, WHOLE, "BLOB_CHANGED", "BLOB_CHANGED"),
    ),
    "a missing file": (
        weights, Path.unlink, "BLOB_MISSING", (WHOLE, WHOLE, "BLOB_MISSING", "BLOB_MISSING"),
    ),
    "an edited manifest": (
        manifest, flipped, "MANIFEST_CHANGED",
        ("MANIFEST_CHANGED", "MANIFEST_CHANGED", "BLOB_CHANGED", "BLOB_CHANGED"),
    ),
    "a missing manifest": (
        manifest, Path.unlink, "MANIFEST_MISSING",
        ("MANIFEST_MISSING", "MANIFEST_MISSING", "BLOB_MISSING", "BLOB_MISSING"),
    ),
}  # fmt: skip


def _sign(bench: Bench) -> None:
    registry, _, folder = bench
    sign(registry, registry.resolve("chat:1"), keys(folder, "release")[0])


def _promote(bench: Bench) -> None:
    registry = bench[0]
    carry_out(registry, registry.catalogue.plan("chat", "1", Verb.PROMOTE), why="")


def _export(bench: Bench) -> None:
    registry, _, folder = bench
    export(registry, [registry.resolve("chat:1")], folder / "out.tar")


def _push(bench: Bench) -> None:
    registry, remote, _ = bench
    with RegistryClient(
        "oci://registry.test", username=USER, password=PASSWORD, transport=remote.transport()
    ) as client:
        push_version(registry, registry.resolve("chat:1"), client, str, Meter())


COMMANDS = {"sign": _sign, "promote": _promote, "export": _export, "push": _push}


@pytest.fixture
def bench(registry: Registry, tmp_path: Path) -> Bench:
    added(registry, "chat", "1", b"weights!")
    added(registry, "other", "1", b"others!!")
    (tmp_path / "out.tar").write_bytes(b"what was exported before")
    return registry, FakeRegistry(), tmp_path


def seen(bench: Bench) -> Any:
    registry, remote, folder = bench
    return (
        registry.catalogue.versions(),
        registry.catalogue.events(),
        registry.layout.entries(),
        registry.layout.stored(),
        dict(remote.manifests),
        sorted(p.name for p in folder.glob("*out.tar*")),
        (folder / "out.tar").read_bytes(),
    )


@pytest.mark.parametrize("damage", DAMAGES)
def test_verify_names_it(bench: Bench, damage: str) -> None:
    registry = bench[0]
    where, how, code, _ = DAMAGES[damage]
    digest = registry.resolve("chat:1").digest
    how(where(registry.layout, digest))
    if where is manifest:
        with pytest.raises(RegistryError) as caught:
            verify(registry.layout, digest)
        assert caught.value.code == code
    else:
        found = verify(registry.layout, digest).damages
        assert [(d.path, d.code) for d in found] == [("model.safetensors", code)]
    assert verify(registry.layout, registry.resolve("other:1").digest).holds


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_no_command_passes_it_on(bench: Bench, damage: str, command: str) -> None:
    registry = bench[0]
    where, how, _, codes = DAMAGES[damage]
    how(where(registry.layout, registry.resolve("chat:1").digest))
    before = seen(bench)
    with pytest.raises(RegistryError) as caught:
        COMMANDS[command](bench)
    assert caught.value.code == dict(zip(COMMANDS, codes, strict=True))[command]
    assert seen(bench) == before
    assert audit(registry.catalogue) == ()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_control_whole_it_is_done(bench: Bench, command: str) -> None:
    before = seen(bench)
    COMMANDS[command](bench)
    assert seen(bench) != before
