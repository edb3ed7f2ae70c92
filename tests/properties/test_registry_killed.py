"""Each command of the registry, killed before each of its effects and run again.

It ends as if it had never been killed, what is seen in between is whole, and a collection leaves
nothing of the cut behind.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from model_registry.adding import add
from model_registry.bundle import export, import_bundle
from model_registry.catalogue.model import Stage, Verb
from model_registry.errors import RegistryError
from model_registry.exchange import pull_version, push_version
from model_registry.lockfile import resolve_lock, write_lock
from model_registry.meter import Meter
from model_registry.promotion import carry_out
from model_registry.rebuilding import rebuild
from model_registry.registry import Registry
from model_registry.removing import collect
from model_registry.signatures import sign
from tests.contract.registry.fake import FakeRegistry
from tests.properties.registry_power import (
    MEMORY,
    POWER,
    Killed,
    client_of,
    files,
    require_remote_sound,
    require_sound,
    wired,
)
from tests.unit.model_registry.keys import keys

VERSIONS = ("1", "2", "3")
Shown = dict[str, tuple[str, Stage, bool]]


@dataclass(frozen=True)
class Bench:
    """A registry in a folder that also holds a bundle, and an OCI registry."""

    root: Path
    remote: FakeRegistry

    @property
    def registry(self) -> Registry:
        return Registry.open(self.root / "here", who="ada")

    @property
    def bundle(self) -> Path:
        return self.root / "b.tar"

    def copied(self, root: Path) -> Bench:
        shutil.copytree(self.root, root)
        remote = FakeRegistry()
        remote.blobs, remote.manifests = dict(self.remote.blobs), dict(self.remote.manifests)
        return Bench(root, remote)

    def shown(self) -> tuple[Shown, set[tuple[str, str]]]:
        versions = self.registry.catalogue.versions()
        return (
            {v.label: (v.digest, v.stage, v.is_present) for v in versions},
            set(self.remote.manifests),
        )


def _lived(bench: Bench) -> None:
    """Make a registry in which each kind of command has something to do."""
    registry = Registry.open(bench.root / "here", who="ada", create=True)
    for version in VERSIONS:
        add(registry, files(bench.root, "chat", version), "chat", version)
        for _ in range(2):
            carry_out(registry, registry.catalogue.plan("chat", version, Verb.PROMOTE), why="")
    other = Registry.open(bench.root / "other", who="eve", create=True)
    for version in VERSIONS:
        add(other, files(bench.root, "embed", version), "embed", version)
    export(other, other.catalogue.versions(), bench.bundle)
    with client_of(bench.remote) as client:
        push_version(other, other.catalogue.version("embed", "1"), client, str, Meter())


def _push(bench: Bench) -> None:
    """Push a version with its signature, so that what refers to it is told, too."""
    registry = bench.registry
    with client_of(bench.remote) as client:
        push_version(registry, registry.catalogue.version("chat", "3"), client, str, Meter())


def _pull(bench: Bench) -> None:
    with client_of(bench.remote) as client:
        pull_version(bench.registry, client, "embed", "1", "embed", "1", Meter())


def _rebuild(bench: Bench) -> None:
    """The catalogue is lost; what a killed run brought back stays."""
    if not (bench.root / "lost").exists():
        for path in (bench.root / "here").glob("catalogue.db*"):
            path.rename(bench.root / path.name)  # lost: no effect of a command, to be cut
        (bench.root / "lost").write_bytes(b"")
    rebuild(Registry.open(bench.root / "here", who="ada", create=True))


def _stage(verb: Verb, version: str) -> Callable[[Bench], object]:
    return lambda b: carry_out(
        b.registry, b.registry.catalogue.plan("chat", version, verb), why=""
    )


def _lock(bench: Bench) -> None:
    wanted = resolve_lock(bench.registry, ["chat@production"])
    write_lock(bench.registry, bench.root / "models.lock", wanted, owner="s")


COMMANDS: dict[str, Callable[[Bench], object]] = {
    "add": lambda b: add(b.registry, files(b.root, "new", "1"), "new", "1"),
    "promote": _stage(Verb.PROMOTE, "2"),
    "demote": _stage(Verb.DEMOTE, "3"),
    "collect": lambda b: collect(b.registry, retired=True),
    "sign": lambda b: sign(
        b.registry, b.registry.catalogue.version("chat", "2"), keys(b.root, "k")[0]
    ),
    "export": lambda b: export(b.registry, b.registry.catalogue.versions(), b.root / "out.tar"),
    "import": lambda b: import_bundle(b.registry, b.bundle),
    "lock": _lock,
    "push": _push,
    "pull": _pull,
    "rebuild": _rebuild,
}


@pytest.mark.thorough
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_before_each_of_its_effects_and_run_again_it_ends_as_if_never_killed(
    command: str,
) -> None:
    work = COMMANDS[command]
    with wired(), tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        (Path(folder) / "model").mkdir()
        model = Bench(Path(folder) / "model", FakeRegistry())
        _lived(model)
        if command == "push":
            registry = model.registry
            sign(registry, registry.catalogue.version("chat", "3"), keys(model.root, "k")[0])
        before = model.copied(Path(folder) / "before")
        with POWER.cut_after(None):
            work(model)
            effects = POWER.seen
        wanted = model.shown()
        assert effects > 0
        for effect in range(effects):
            bench = before.copied(Path(folder) / str(effect))
            heads = [] if command == "rebuild" else [bench.registry.catalogue.head()]
            with POWER.cut_after(effect), pytest.raises(Killed):
                work(bench)
            _require_sound(bench, heads)
            with suppress(RegistryError):  # it may have been done before the kill was noticed
                work(bench)
            _require_sound(bench, heads)
            assert bench.shown() == wanted, f"killed before effect {effect}"
            collect(bench.registry)
            assert not list((bench.root / "here").glob("oci/**/.part-*"))
            shutil.rmtree(bench.root)


def _require_sound(bench: Bench, heads: list[object]) -> None:
    require_sound(bench.root / "here", heads, {})  # type: ignore[arg-type]
    require_remote_sound(bench.remote)
