"""Pulumi over a world: a stack with changes, drift, or what a kill left of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from permafrost.planning.interruption import Interruption
from tests.fakes.world import World


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

    def destroy(self, lock_token: str) -> None:
        self.tokens.append(lock_token)
        self.world.effect("destroy", "stack", self.world.machines.clear)

    def env(self) -> dict[str, str]:
        return {"PULUMI_STACK": "lab"}
