"""Add, promote, lock, collect, export, import, push and pull in any order, killed at any effect.

An effect is what a power cut could fall before: a sync, a rename, a removal, a commit. From the
one that is hit nothing more happens, clean-up included, as when the process was killed.

Invariants, after every step and with the registry opened anew:

- whatever the catalogue shows with content is whole, byte for byte: no half version is visible;
- what is pinned, staging or production is there, and a model never turns into another;
- the chain holds, also against every head that was seen before.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from sqlalchemy import event
from sqlalchemy.engine import Engine

from model_registry.adding import add
from model_registry.bundle import export, import_bundle
from model_registry.catalogue.audit import audit
from model_registry.catalogue.chain import Head
from model_registry.catalogue.model import Stage, Verb
from model_registry.client import RegistryClient
from model_registry.errors import RegistryError
from model_registry.exchange import pull_version, push_version
from model_registry.lineage import Lineage, Method, Parent
from model_registry.lockfile import read_lock, resolve_lock, write_lock
from model_registry.meter import Meter
from model_registry.promotion import carry_out
from model_registry.registry import Registry
from model_registry.removing import collect
from model_registry.signatures import sign
from model_registry.verify import verify
from tests.contract.registry.fake import PASSWORD, USER, FakeRegistry
from tests.unit.model_registry.keys import keys

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
NAMES, VERSIONS = ("chat",), ("1", "2", "3")  # few, so that commands meet
names, versions = st.sampled_from(NAMES), st.sampled_from(VERSIONS)
kills = st.one_of(st.none(), st.none(), st.integers(0, 30))


class Killed(BaseException):
    """The process is gone."""


class Power:
    """Counts effects down to the one that no longer happens."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.is_off = False
        self.seen = 0

    def effect(self) -> None:
        self.seen += 1
        if self.left is not None:
            self.is_off = self.is_off or self.left == 0
            self.left -= 1
        if self.is_off:
            raise Killed

    @contextmanager
    def cut_after(self, effects: int | None) -> Iterator[None]:
        self.left, self.is_off, self.seen = effects, False, 0
        try:
            yield
        finally:
            self.left, self.is_off = None, False


POWER = Power()


@contextmanager
def wired() -> Iterator[None]:
    """Let every effect ask whether there is power."""
    kept = {name: getattr(Path, name) for name in ("replace", "unlink")}
    real_sync = os.fsync

    def before(real: Callable[..., Any]) -> Callable[..., Any]:
        def asks(*args: Any, **kwargs: Any) -> Any:
            POWER.effect()
            return real(*args, **kwargs)

        return asks

    def before_commit(_: Any) -> None:
        POWER.effect()

    for name, real in kept.items():
        setattr(Path, name, before(real))
    os.fsync = before(real_sync)
    event.listen(Engine, "commit", before_commit)
    try:
        yield
    finally:
        event.remove(Engine, "commit", before_commit)
        os.fsync = real_sync
        for name, real in kept.items():
            setattr(Path, name, real)


def files(root: Path, name: str, version: str) -> Path:
    """Write a model: its own weights, and a tokenizer that all share."""
    folder = root / f"files-{name}-{version}"
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(f"{name} {version}".encode())
    (folder / "tokenizer.json").write_bytes(b"{}")
    return folder


def require_sound(home: Path, heads: list[Head], seen: dict[str, str]) -> Registry | None:
    """Open a registry anew and require all that must always hold."""
    if not (home / "catalogue.db").exists():
        return None
    registry = Registry.open(home, who="auditor", create=True)
    held = {d for pins in registry.catalogue.pins().values() for d in pins.values()}
    for version in registry.catalogue.versions():
        needed = version.digest in held or version.stage is not Stage.RETIRED
        assert version.is_present or not needed, f"{version.label} is needed and collected"
        assert seen.setdefault(version.label, version.digest) == version.digest
        if version.is_present:
            assert verify(registry.layout, version.digest).holds, f"{version.label} is half"
    assert held <= {v.digest for v in registry.catalogue.versions() if v.is_present}
    for head in (None, *heads[-3:]):
        assert audit(registry.catalogue, head) == ()
    if (head := registry.catalogue.head()) is not None:
        heads.append(head)
    return registry


class Models(RuleBasedStateMachine):
    """Two registries, and files that go from one to the other."""

    carried = Bundle("carried")

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="permafrost-", dir=MEMORY))
        self.homes = {name: self.root / name for name in ("here", "there")}
        self.heads: dict[str, list[Head]] = {name: [] for name in self.homes}
        self.seen: dict[str, str] = {}
        self.lock = self.root / "models.lock"
        self.written = 0
        self.remote = FakeRegistry()

    def teardown(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)

    def do(self, work: Callable[[Registry], object], kill: int | None, at: str = "here") -> bool:
        """Do something in a process of its own; returns whether it lived and was not refused."""
        with POWER.cut_after(kill), suppress(Killed, RegistryError):
            work(Registry.open(self.homes[at], who="operator", create=True))
            return True
        return False

    @rule(name=names, version=versions, parent=st.sampled_from([None, *VERSIONS]), kill=kills)
    def add(self, name: str, version: str, parent: str | None, kill: int | None) -> None:
        def work(registry: Registry) -> None:
            lineage = None
            if parent is not None and parent < version:
                base = registry.catalogue.version(name, parent).digest
                lineage = Lineage(Method.ADAPTER, (Parent(base),))
            add(registry, files(self.root, name, version), name, version, lineage=lineage)

        self.do(work, kill)

    @rule(name=names, version=versions, verb=st.sampled_from(Verb), kill=kills)
    def change_stage(self, name: str, version: str, verb: Verb, kill: int | None) -> None:
        def work(registry: Registry) -> None:
            carry_out(registry, registry.catalogue.plan(name, version, verb), why="")

        self.do(work, kill)

    @rule(name=names, order=st.permutations(VERSIONS))
    def release_one_after_the_other(self, name: str, order: list[str]) -> None:
        def work(registry: Registry) -> None:
            for version in order:
                with suppress(RegistryError):  # it may be there, with a lineage of its own
                    add(registry, files(self.root, name, version), name, version)
                while registry.catalogue.version(name, version).stage is not Stage.PRODUCTION:
                    plan = registry.catalogue.plan(name, version, Verb.PROMOTE)
                    carry_out(registry, plan, why="")

        self.do(work, None)

    @rule(name=names, version=versions, kill=kills)
    def push(self, name: str, version: str, kill: int | None) -> None:
        def work(registry: Registry) -> None:
            wanted = registry.catalogue.version(name, version)
            with self.client() as client:
                push_version(registry, wanted, client, str, Meter())

        self.do(work, kill)

    @rule(name=names, version=versions, kill=kills)
    def pull(self, name: str, version: str, kill: int | None) -> None:
        def work(registry: Registry) -> None:
            with self.client() as client:
                pull_version(
                    registry, client, name, version, name, version, Meter(), parents_outside=True
                )

        self.do(work, kill, at="there")

    def client(self) -> RegistryClient:
        return RegistryClient(
            "oci://registry.test",
            username=USER,
            password=PASSWORD,
            transport=self.remote.transport(),
            pause=lambda _: None,
        )

    @rule(name=names, kill=kills)
    def lock_production(self, name: str, kill: int | None) -> None:
        def work(registry: Registry) -> None:
            wanted = resolve_lock(registry, [f"{name}@production"])
            write_lock(registry, self.lock, wanted, owner="site:lab")

        self.do(work, kill)

    @rule(retired=st.booleans(), kill=kills, at=st.sampled_from(["here", "there"]))
    def collect(self, retired: bool, kill: int | None, at: str) -> None:
        self.do(lambda registry: collect(registry, retired=retired), kill, at)

    @rule(target=carried, kill=kills)
    def export(self, kill: int | None) -> Path:
        self.written += 1
        path = self.root / f"bundle-{self.written}.tar"

        def work(registry: Registry) -> None:
            present = [v for v in registry.catalogue.versions() if v.is_present]
            export(registry, present, path)

        self.do(work, kill)
        return path

    @rule(bundle=consumes(carried), kill=kills)
    def import_(self, bundle: Path, kill: int | None) -> None:
        if bundle.exists():
            self.do(lambda r: import_bundle(r, bundle, parents_outside=True), kill, "there")

    @invariant()
    def all_is_sound(self) -> None:
        for name, home in self.homes.items():
            require_sound(home, self.heads[name], self.seen)
        if self.lock.exists():
            pinned = {locked.digest for locked in read_lock(self.lock).values()}
            registry = Registry.open(self.homes["here"])
            assert pinned <= {v.digest for v in registry.catalogue.versions() if v.is_present}


class TestModels(Models.TestCase):
    settings = settings(
        max_examples=int(os.environ.get("PERMAFROST_EXAMPLES", "25")),
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    def runTest(self) -> None:  # noqa: N802  (the name that unittest gives)
        with wired():
            super().runTest()


def _lived(root: Path) -> None:
    """Make a registry in which each kind of command has something to do, and a bundle."""
    registry = Registry.open(root / "here", who="ada", create=True)
    for version in VERSIONS:
        add(registry, files(root, "chat", version), "chat", version)
        for _ in range(2):
            carry_out(registry, registry.catalogue.plan("chat", version, Verb.PROMOTE), why="")
    other = Registry.open(root / "other", who="eve", create=True)
    for version in VERSIONS:
        add(other, files(root, "embed", version), "embed", version)
    export(other, other.catalogue.versions(), root / "b.tar")


def _opened(root: Path) -> Registry:
    return Registry.open(root / "here", who="ada")


COMMANDS: dict[str, Callable[[Registry, Path], object]] = {
    "add": lambda r, b: add(r, files(b.parent, "new", "1"), "new", "1"),
    "promote": lambda r, _: carry_out(r, r.catalogue.plan("chat", "2", Verb.PROMOTE), why=""),
    "collect": lambda r, _: collect(r, retired=True),
    "sign": lambda r, b: sign(r, r.catalogue.version("chat", "2"), keys(b.parent, "k")[0]),
    "export": lambda r, b: export(r, r.catalogue.versions(), b.with_name("out.tar")),
    "import": lambda r, b: import_bundle(r, b),
    "lock": lambda r, b: write_lock(
        r, b.with_name("models.lock"), resolve_lock(r, ["chat@production"]), owner="s"
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_killed_before_each_of_its_effects_and_run_again_it_ends_as_if_never_killed(
    command: str,
) -> None:
    work = COMMANDS[command]
    with wired(), tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        model, before = Path(folder) / "model", Path(folder) / "before"
        model.mkdir()
        _lived(model)
        shutil.copytree(model, before)
        registry = _opened(model)
        with POWER.cut_after(None):
            work(registry, model / "b.tar")
        effects, wanted = POWER.seen, _shown(registry)
        assert effects > 0
        for effect in range(effects):
            root = Path(folder) / str(effect)
            shutil.copytree(before, root)
            registry, bundle = _opened(root), root / "b.tar"
            heads = [registry.catalogue.head()]
            with POWER.cut_after(effect), pytest.raises(Killed):
                work(registry, bundle)
            again = require_sound(registry.home, heads, {})  # type: ignore[arg-type]
            assert again is not None
            with suppress(RegistryError):  # it may have been done before the kill was noticed
                work(again, bundle)
            require_sound(registry.home, heads, {})  # type: ignore[arg-type]
            assert _shown(again) == wanted, f"killed before effect {effect}"
            collect(again)
            assert not list(registry.home.glob("oci/**/.part-*"))
            shutil.rmtree(root)


def _shown(registry: Registry) -> dict[str, tuple[str, Stage, bool]]:
    return {v.label: (v.digest, v.stage, v.is_present) for v in registry.catalogue.versions()}
