"""What every resource type can do; each adds how it is done on vCenter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from lab.provider import comparison, planning
from lab.provider.check import Checked, check
from lab.provider.comparison import Change, Difference
from lab.provider.schema import Schema
from lab.provider.session import Operation
from lab.provider.values import Props


class Resource(ABC):
    """One resource type."""

    token: ClassVar[str]
    schema: ClassVar[Schema]
    replace_deletes_first: ClassVar[bool] = True

    def check(self, name: str, olds: Props, news: Props, seed: bytes) -> Checked:
        """Return the inputs with defaults, and what is wrong with them."""
        return check(self.schema, name, olds, news, seed)

    def plan(self, op: Operation, olds: Props | None, news: Props) -> Props:
        """Return the state that shall be; may ask vCenter, changes nothing."""
        del op
        return planning.plan(self.schema, olds, news)

    def diff(self, olds: Props, planned: Props, news: Props) -> Difference:
        """Return how the state of before and the planned one differ."""
        del news
        found = comparison.compare(self.schema, olds, planned)
        found.delete_first = bool(found.replaces) and self.replace_deletes_first
        return found

    def echoes(self, olds: Props, planned: Props) -> dict[str, Change]:
        """Return changes that show beside any other one, and never alone."""
        del olds, planned
        return {}

    @abstractmethod
    def create(self, op: Operation, planned: Props) -> tuple[str, Props]:
        """Make it, and return its id and state."""

    @abstractmethod
    def read(self, op: Operation, resource_id: str, state: Props) -> tuple[str, Props] | None:
        """Return id and state as vCenter has them, or None when it is gone.

        An empty `state` asks for an import: `resource_id` is then what a person typed.
        """

    @abstractmethod
    def update(self, op: Operation, resource_id: str, olds: Props, planned: Props) -> Props:
        """Change it in place, and return its state."""

    @abstractmethod
    def delete(self, op: Operation, resource_id: str, state: Props) -> None:
        """Remove it."""
