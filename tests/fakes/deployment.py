"""Fakes of what a deployment works with: Ansible, Pulumi, the registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from permafrost.errors import Failed, Problem, Refused
from permafrost.facts import (
    CheckpointFacts,
)
from permafrost.planning.gpu_memory import Architecture
from permafrost.planning.interruption import Interruption
from permafrost.topology import Node
from tests.fakes.world import World, unreachable


@dataclass
class FakeConverger:
    world: World
    changed: int = 1
    renewed: list[str] = field(default_factory=list)

    refuses: set[str] = field(default_factory=set)
    """Nodes on which a task fails."""

    def _started(self, node: str, joins: bool) -> None:
        """Everything on a member of the knowledge tier runs afterwards, if its stores can."""
        self.world.handed_over.discard(node)
        if node in self.world.empty_disks and joins and node in self.world.expected:
            self.world.empty_disks.discard(node)
            self.world.expected.discard(node)

    def fingerprint(self, node: Node) -> str:
        return f"as-{node.name}"

    def renew_certificate(self, node: Node) -> None:
        """Remember which node is to have another certificate."""
        self.renewed.append(node.name)

    def converge(self, node: Node, *, check: bool = False, joins: bool = False) -> Any:
        if not self.world.works(node.name):
            raise unreachable(node.name)
        if node.name in self.refuses:
            raise Failed(Problem("CONVERGE_FAILED", "a task has failed", node.name))
        if not check:
            self.world.effect("configure", node.name, lambda: self._started(node.name, joins))
        tasks = ("install it",) if self.changed else ()
        return SimpleNamespace(node=node.name, changed=self.changed, changes=tasks)


@dataclass
class FakeProvisioner:
    world: World
    changes: tuple[Any, ...] = ()
    drifted: tuple[Any, ...] = ()
    refreshed: bool = False
    interrupted: Interruption = field(default_factory=Interruption)
    unrepaired: Interruption = field(default_factory=Interruption)
    """What a repair leaves."""
    on_up: Callable[[], None] = lambda: None
    tokens: list[str] = field(default_factory=list)

    def ensure_stack(self) -> None:
        pass

    def interruption(self) -> Interruption:
        return self.interrupted

    def repair(self) -> None:
        if not self.interrupted.is_none:
            self.world.effect("repair", "stack", lambda: None)
        self.interrupted = self.unrepaired

    def preview(self, *, refresh: bool = False) -> tuple[Any, ...]:
        return (*self.changes, *self.drifted) if refresh else self.changes

    def up(self, lock_token: str, *, refresh: bool = False) -> None:
        self.refreshed = refresh
        self.tokens.append(lock_token)
        self.world.effect("up", "stack", self.on_up)
        self.changes = self.drifted = ()

    def refresh(self) -> None:
        pass

    def destroy(self, lock_token: str) -> None:
        self.tokens.append(lock_token)
        self.world.effect("destroy", "stack", self.world.machines.clear)

    def env(self) -> dict[str, str]:
        return {"PULUMI_STACK": "lab"}


@dataclass
class FakeCatalog:
    missing: frozenset[str] = frozenset()
    without_fingerprint: frozenset[str] = frozenset()
    architecture: Architecture | None = field(default_factory=lambda: Architecture(30, 3, 64))
    signatures: int = 0
    signed_by: tuple[str, ...] = ()
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    """For a digest: what its facts say in another way."""

    def resolve(self, pinned: str) -> CheckpointFacts:
        name, _, digest = pinned.partition("@")
        if pinned in self.missing:
            raise Refused(Problem("CHECKPOINT_MISSING", f"the registry has no {pinned}"))
        facts = CheckpointFacts(
            name,
            digest,
            3,
            1000,
            pinned not in self.without_fingerprint,
            self.architecture,
            self.signatures,
            self.signed_by,
        )
        return replace(facts, **self.told.get(digest, {}))

    def has_image(self, pinned: str) -> bool:
        return pinned not in self.missing
