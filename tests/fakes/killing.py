"""Kill a process as SIGKILL would: around a step, around an effect, before a durable write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from sqlite3 import Connection

from permafrost.engine.database import open_database
from permafrost.planning.steps import OperationStep
from permafrost.runbook.context import Context
from tests.fakes.site import context
from tests.fakes.world import Cut, World


class KillAt:
    """The n-th moment (before or after a step) is the last one; None: it lives."""

    def __init__(self, moment: int | None = None) -> None:
        self.left = moment
        self.passed = 0

    def __call__(self, command: str, step: OperationStep, when: str) -> None:
        self.passed += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Cut


def another_process(ctx: Context, world: World) -> Context:
    """Return what a process that starts after the kill knows: the folder and the world."""
    return context(ctx.store.state_dir, world)


def is_cut_at_commit(ctx: Context, moment: int, work: Callable[[], object]) -> bool:
    """Kill it just before its n-th transaction ends; return False where its work ended before."""
    left = [moment]

    def count() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Cut

    with before_each_commit(ctx, count), suppress(Cut):
        work()
    return left[0] < 0


def is_cut_at_write(ctx: Context, moment: int, work: Callable[[], object]) -> bool:
    """Kill it just before its n-th transaction ends that changes a row; else as at a commit."""
    left = [moment]
    changes: dict[int, int] = {}

    def count(connection: Connection) -> None:
        before, now = changes.get(id(connection), 0), connection.total_changes
        changes[id(connection)] = now
        left[0] -= now > before
        if left[0] < 0:
            raise Cut

    with before_each_commit_of(ctx, count), suppress(Cut):
        work()
    return left[0] < 0


@contextmanager
def before_each_commit(ctx: Context, do: Callable[[], None]) -> Iterator[None]:
    """Do something just before the end of each transaction of a block."""
    with before_each_commit_of(ctx, lambda _: do()):
        yield


@contextmanager
def before_each_commit_of(ctx: Context, do: Callable[[Connection], None]) -> Iterator[None]:
    """Do something with its connection just before the end of each transaction of a block."""
    database = open_database(ctx.store.state_dir)
    commit = database.commit

    def first_do(connection: Connection) -> None:
        do(connection)
        commit(connection)

    database.commit = first_do  # type: ignore[method-assign]
    try:
        yield
    finally:
        database.commit = commit  # type: ignore[method-assign]


def is_cut_at_effect(world: World, moment: int, work: Callable[[], object]) -> bool:
    """Kill it before or after an effect; return False where its work ended before."""
    world.cut_in = moment
    with suppress(Cut):
        work()
    was_cut, world.cut_in = world.cut_in is None, None
    return was_cut
