"""Add, promote, lock, collect, rebuild, export, import, push and pull, killed at any effect.

Invariants, after every step and with the registry opened anew:

- whatever the catalogue shows with content is whole, byte for byte: no half version is visible;
  whatever the OCI registry names is whole there;
- what is pinned, staging or production is there, and a model never turns into another;
- the chain holds, also against every head that was seen before.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from model_registry.adding import add
from model_registry.bundle import export, import_bundle
from model_registry.catalogue.chain import Head
from model_registry.catalogue.model import Stage, Verb
from model_registry.errors import RegistryError
from model_registry.exchange import pull_version, push_version
from model_registry.lineage import Lineage, Method, Parent
from model_registry.lockfile import read_lock, resolve_lock, write_lock
from model_registry.meter import Meter
from model_registry.promotion import carry_out
from model_registry.rebuilding import rebuild
from model_registry.registry import Registry
from model_registry.removing import collect
from tests.contract.registry.fake import FakeRegistry
from tests.properties.machines import Runs, in_parts, run_machine
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

NAMES, VERSIONS = ("chat",), ("1", "2", "3")  # few, so that commands meet
names, versions = st.sampled_from(NAMES), st.sampled_from(VERSIONS)
kills = st.one_of(st.none(), st.none(), st.integers(0, 30))


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
            with client_of(self.remote) as client:
                push_version(registry, wanted, client, str, Meter())

        self.do(work, kill)

    @rule(name=names, version=versions, kill=kills)
    def pull(self, name: str, version: str, kill: int | None) -> None:
        def work(registry: Registry) -> None:
            with client_of(self.remote) as client:
                pull_version(
                    registry, client, name, version, name, version, Meter(), parents_outside=True
                )

        self.do(work, kill, at="there")

    @rule(kill=kills, at=st.sampled_from(["here", "there"]))
    def rebuild(self, kill: int | None, at: str) -> None:
        self.do(lambda registry: rebuild(registry), kill, at)

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
        require_remote_sound(self.remote)
        if self.lock.exists():
            pinned = {locked.digest for locked in read_lock(self.lock).values()}
            registry = Registry.open(self.homes["here"])
            assert pinned <= {v.digest for v in registry.catalogue.versions() if v.is_present}


@pytest.mark.thorough
@pytest.mark.parametrize("runs", in_parts(Runs(12, 30), Runs(50, 30), parts=3))
def test_models_in_any_order(runs: Runs, commit_seed: int) -> None:
    with wired():
        run_machine(Models, runs, commit_seed, shrinks=True)
