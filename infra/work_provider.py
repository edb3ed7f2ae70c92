"""Work on what stands, as a resource: done when that is made, and when what it is told differs.

It is a resource and not an after-hook, because a hook that fails is never come back to: here a
failed create or update leaves the old state, and the next ``up`` tries again. The state holds
fingerprints and the *name* of the provider, no code and no secret.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from pulumi.dynamic import (
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)

from permafrost.adapters.pulumi_stack.lifeline import bind_to_engine


class WorkProvider(ResourceProvider):
    """Does its work on create and update, compares what it is told, deletes nothing."""

    # What is serialised is a reference to a class: there is nothing to hide in it.
    serialize_as_secret_always = False

    subject: ClassVar[str]
    """The property that says on what it works: the resource's id."""
    compared: ClassVar[tuple[str, ...]]
    """The properties of which another value means that it is to be done again."""

    @abstractmethod
    def work(self, olds: Mapping[str, Any], news: Mapping[str, Any]) -> None:
        """Do it; ``olds``: what it was told the last time, empty at first."""

    def configure(self, req: ConfigureRequest) -> None:
        """Tie this process to the engine; called once in the provider's process."""
        del req
        bind_to_engine()

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Return whether it must be done again. It is never replaced."""
        return DiffResult(changes=any(_olds.get(key) != _news.get(key) for key in self.compared))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Do it for the first time."""
        self.work({}, props)
        return CreateResult(id_=str(props[self.subject]), outs=self._outputs(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Do it again."""
        self.work(_olds, _news)
        return UpdateResult(outs=self._outputs(_news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Return what is known; what it works on is looked at when it works."""
        return ReadResult(id_, self._outputs(props))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Do nothing: what was done goes with the VMs on which it was."""

    def _outputs(self, props: Mapping[str, Any]) -> dict[str, Any]:
        return {key: props[key] for key in (self.subject, *self.compared)}
