"""A node's store: pull, switch, roll back, pin and collect in any order, killed at any effect.

Invariants, after every step and with the store opened anew:

- what is visible is whole, byte for byte: there is no half version;
- what is pinned, loaded in a slot or a slot's way back is never lost;
- a slot shows what it had before a cut, or what it was given: nothing else.
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
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from permafrost.node.collecting import collect
from permafrost.node.errors import NodeError
from permafrost.node.pull import pull
from permafrost.node.roots import Roots, Slot
from permafrost.node.store import ModelStore
from tests.properties.machines import Runs, in_parts, run_machine
from tests.unit.node.conftest import FakeReader

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
READERS = [
    FakeReader({"model.weights": f"weights {n}".encode(), "nested/vocab.json": b"{}"})
    for n in range(3)
]
VERSIONS = [reader.checkpoint for reader in READERS]
EFFECTS = ("replace", "unlink", "rmdir", "link", "mkdir", "chmod", "fsync")
numbers, slots = st.integers(0, 2), st.sampled_from("ab")
kills = st.one_of(st.none(), st.none(), st.integers(0, 40))


class Killed(BaseException):
    """The process is gone."""


class Power:
    """Counts effects down to the one that no longer happens; from then on nothing does."""

    def __init__(self) -> None:
        self.left: int | None = None

    def before(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def asks(*args: Any, **kwargs: Any) -> Any:
            if self.left is not None:
                if self.left <= 0:
                    raise Killed
                self.left -= 1
            return real(*args, **kwargs)

        return asks

    @contextmanager
    def cut_after(self, effects: int | None) -> Iterator[None]:
        real = {name: getattr(os, name) for name in EFFECTS}
        self.left = effects
        for name, effect in real.items():
            setattr(os, name, self.before(effect))
        try:
            yield
        finally:
            for name, effect in real.items():
                setattr(os, name, effect)
            self.left = None


class NodeStore(RuleBasedStateMachine):
    """One node."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="permafrost-", dir=MEMORY))
        self.had: set[str] = set()
        self.slots = {name: Slot() for name in "ab"}
        self.allowed: dict[str, set[Slot]] = {}

    @property
    def store(self) -> ModelStore:
        return ModelStore(self.root / "models")

    def teardown(self) -> None:
        subtree = self.root / "models"
        for folder in [p for p in subtree.rglob("*") if p.is_dir()]:
            folder.chmod(0o755)
        shutil.rmtree(self.root, ignore_errors=True)

    def do(self, work: Callable[[ModelStore, Roots], object], kill: int | None) -> None:
        store = self.store
        with Power().cut_after(kill), suppress(Killed, NodeError):
            work(store, Roots(store))

    @rule(number=numbers, kill=kills)
    def pull(self, number: int, kill: int | None) -> None:
        reader: Any = READERS[number]
        target = self.root / "fingerprint.json"
        self.do(lambda store, _: pull(VERSIONS[number], store, reader, target, dict), kill)

    @rule(slot=slots, number=numbers, kill=kills)
    def switch(self, slot: str, number: int, kill: int | None) -> None:
        self._may_become(slot, lambda now: Slot(VERSIONS[number], now.current or now.previous))
        self.do(lambda _, roots: roots.switch(slot, VERSIONS[number]), kill)

    @rule(slot=slots, kill=kills)
    def roll_back(self, slot: str, kill: int | None) -> None:
        self._may_become(slot, lambda now: Slot(now.previous, now.current))
        self.do(lambda _, roots: roots.rollback(slot), kill)

    @rule(number=numbers, kill=kills)
    def pin(self, number: int, kill: int | None) -> None:
        self.do(lambda _, roots: roots.pin("audit", VERSIONS[number]), kill)

    @rule(kill=kills)
    def unpin(self, kill: int | None) -> None:
        self.do(lambda _, roots: roots.unpin("audit"), kill)

    @rule(kill=kills)
    def collect(self, kill: int | None) -> None:
        self.do(lambda store, roots: collect(store, roots.kept), kill)

    def _may_become(self, slot: str, change: Callable[[Slot], Slot]) -> None:
        self.allowed[slot] = {self.slots[slot], change(self.slots[slot])}

    @invariant()
    def what_is_visible_is_whole_and_what_is_needed_is_there(self) -> None:
        store, roots = self.store, Roots(self.store)
        visible = {p.name.replace("sha256-", "sha256:") for p in store.trees.glob("sha256-*")}
        for checkpoint in visible:
            store.verify(checkpoint)
        lost = (self.had - visible) & set(roots.kept().values())
        assert not lost, f"{lost} is needed and gone"
        for name, before in self.slots.items():
            now = roots.slot(name)
            assert now in self.allowed.get(name, {before}), f"slot {name}: {before} → {now}"
            if now.current:
                assert now.current in visible
            self.slots[name] = now
        self.allowed, self.had = {}, visible


@pytest.mark.parametrize("runs", in_parts(Runs(60, 20), Runs(1000, 20), parts=2))
def test_pulls_and_switches_in_any_order(runs: Runs, commit_seed: int) -> None:
    run_machine(NodeStore, runs, commit_seed, shrinks=True)


def every_cut(work: Callable[[ModelStore, Roots], object], prepare: list[int]) -> Iterator[Path]:
    """Yield a fresh node's folder for each effect that a piece of work could be cut at."""
    for kill in range(400):
        root = Path(tempfile.mkdtemp(prefix="permafrost-", dir=MEMORY))
        store = ModelStore(root)
        for number in prepare:
            reader: Any = READERS[number]
            pull(VERSIONS[number], store, reader, root / "fp.json", dict)
        power = Power()
        lived = True
        try:
            with power.cut_after(kill):
                work(store, Roots(store))
        except Killed:
            lived = False
        yield root
        for folder in [p for p in root.rglob("*") if p.is_dir()]:
            folder.chmod(0o755)
        shutil.rmtree(root, ignore_errors=True)
        if lived:
            assert kill > 3, "the work has too few effects to be cut"
            return
    pytest.fail("the work never came to its end")


def test_a_pull_cut_at_every_effect_goes_on_to_the_same_end() -> None:
    reader: Any = READERS[1]

    def work(store: ModelStore, _: Roots) -> None:
        pull(VERSIONS[1], store, reader, store.trees.parent / "fp.json", dict)

    for root in every_cut(work, [0]):
        store = ModelStore(root)
        for tree in store.trees.glob("sha256-*"):
            store.verify(tree.name.replace("sha256-", "sha256:"))
        work(store, Roots(store))
        store.verify(VERSIONS[1])
        store.verify(VERSIONS[0])


def test_a_collection_cut_at_every_effect_takes_nothing_that_is_needed() -> None:
    def work(store: ModelStore, _: Roots) -> None:
        collect(store, lambda: {"pin": VERSIONS[0]})

    for root in every_cut(work, [0, 1, 2]):
        store = ModelStore(root)
        for tree in store.trees.glob("sha256-*"):
            store.verify(tree.name.replace("sha256-", "sha256:"))
        work(store, Roots(store))
        store.verify(VERSIONS[0])
        names = {p.name for p in store.trees.iterdir()}
        assert names == {store.tree(VERSIONS[0]).name}
