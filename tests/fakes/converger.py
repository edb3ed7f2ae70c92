"""Ansible over a world: what starts on a node once it is configured."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from permafrost.errors import Failed, Problem
from permafrost.topology import Node
from tests.fakes.world import AS_THE_ADAPTER, World, unreachable


@dataclass
class FakeConverger:
    world: World
    changed: int = 1
    renewed: list[str] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)
    """Nodes on which a task fails."""

    def _started(self, node: str, joins: bool) -> None:
        """Everything on a member of the knowledge tier runs afterwards, if its stores can."""
        self.world.start_all(node)
        if node in self.world.empty_disks and joins and node in self.world.expected:
            self.world.empty_disks.discard(node)
            self.world.expected.discard(node)

    def fingerprint(self, node: Node) -> str:
        return f"as-{node.name}"

    def renew_certificate(self, node: Node) -> None:
        """Remember which node is to have another certificate."""
        self.renewed.append(node.name)

    def write_certificate(self, node: Node) -> Any:
        if not self.world.works(node.name):
            raise unreachable(node.name)
        renewed = node.name in self.renewed
        shut = self.world.expired
        self.world.effect("certificate", node.name, lambda: renewed and shut.discard(node.name))
        return SimpleNamespace(node=node.name, changed=1, changes=("write its certificate",))

    def converge(self, node: Node, *, check: bool = False, joins: bool = False) -> Any:
        if not self.world.works(node.name):
            raise unreachable(node.name)
        if node.name in self.refuses:
            raise Failed(
                Problem("CONVERGE_FAILED", "a task has failed", node.name, AS_THE_ADAPTER)
            )
        if not check:
            self.world.effect("configure", node.name, lambda: self._started(node.name, joins))
        tasks = ("install it",) if self.changed else ()
        return SimpleNamespace(node=node.name, changed=self.changed, changes=tasks)
