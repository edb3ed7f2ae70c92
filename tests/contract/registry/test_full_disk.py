"""A disk that really is full, of the operator's registry: told as that, and nothing has changed.

A small file system of its own; its size is what fills, no error is injected.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model_registry.adding import add
from model_registry.bundle import export, import_bundle
from model_registry.catalogue.audit import audit
from model_registry.catalogue.model import Verb
from model_registry.client import RegistryClient
from model_registry.errors import RegistryError
from model_registry.exchange import pull_version, push_version
from model_registry.meter import Meter
from model_registry.promotion import carry_out
from model_registry.registry import Registry
from model_registry.removing import collect
from model_registry.verify import verify
from tests.contract.registry.fake import PASSWORD, USER
from tests.contract.registry.server import Server
from tests.contract.registry.test_exchange import files

REPOSITORY = "checkpoints/full-disk"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True, timeout=30)
    yield folder
    subprocess.run(["umount", str(folder)], check=True, timeout=30)


@pytest.fixture
def roomy(tmp_path: Path) -> Registry:
    """A registry elsewhere that holds more than the small disk does."""
    registry = Registry.open(tmp_path / "roomy", who="eve", create=True)
    add(registry, files(tmp_path / "large", a=4, b=4, c=4), "large", "1")
    return registry


@pytest.fixture
def registry(disk: Path, tmp_path: Path) -> Registry:
    """The operator's, on the small disk, with a version that fits."""
    registry = Registry.open(disk / "models", who="ada", create=True)
    add(registry, files(tmp_path / "small", s=1), "small", "1")
    return registry


def seen(registry: Registry) -> Any:
    return (registry.catalogue.versions(), registry.catalogue.events(), registry.layout.entries())


def full(work: Callable[[], object]) -> None:
    with pytest.raises(RegistryError) as caught:
        work()
    assert caught.value.code == "DISK_FULL", caught.value


def test_nothing_has_changed_and_with_room_it_goes_on(
    registry: Registry, roomy: Registry, server: Server, disk: Path, tmp_path: Path
) -> None:
    before = seen(registry)
    bundle = tmp_path / "large.tar"
    export(roomy, roomy.catalogue.versions(), bundle)
    full(lambda: add(registry, tmp_path / "large", "large", "1"))
    full(lambda: import_bundle(registry, bundle))
    with RegistryClient(
        f"oci://{server.address}", username=USER, password=PASSWORD, ca_file=server.ca_file
    ) as client:
        push_version(roomy, roomy.resolve("large:1"), client, lambda _: REPOSITORY, Meter())

        def pulled() -> None:
            pull_version(registry, client, REPOSITORY, "1", "large", "1", Meter())

        full(pulled)
        assert seen(registry) == before
        assert verify(registry.layout, registry.resolve("small:1").digest).holds
        collect(registry)
        assert {p.name for p in disk.rglob(".part*")} == set()
        subprocess.run(["mount", "-o", "remount,size=40m", str(disk)], check=True, timeout=30)
        pulled()
    assert verify(registry.layout, registry.resolve("large:1").digest).holds
    assert audit(registry.catalogue) == ()


def test_an_export_to_a_full_disk_leaves_no_file(roomy: Registry, disk: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        export(roomy, roomy.catalogue.versions(), disk / "large.tar")
    assert list(disk.iterdir()) == []


def test_a_promotion_that_cannot_be_written_is_none(registry: Registry, disk: Path) -> None:
    before = seen(registry)
    plan = registry.catalogue.plan("small", "1", Verb.PROMOTE)
    fill = ["dd", "if=/dev/zero", f"of={disk / 'others'}", "bs=4096", "status=none"]
    assert b"No space left" in subprocess.run(fill, check=False, capture_output=True).stderr
    full(lambda: carry_out(registry, plan, why=""))
    (disk / "others").unlink()
    assert seen(registry) == before
    carry_out(registry, plan, why="")
    assert audit(registry.catalogue) == ()
    shutil.rmtree(disk / "models")
