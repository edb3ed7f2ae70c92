"""Whether the registry's VM holds what the site pins, as a resource that what pulls waits for.

A first ``up`` makes the registry and ends here, with what is to be pushed; the next one looks
again and goes on. The state holds a fingerprint and the *name* of this provider alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pulumi.dynamic import (
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)

from permafrost.adapters.pulumi_stack.lifeline import bind_to_engine

KEPT = ("registry", "vm", "fingerprint")


class RegistryContentsProvider(ResourceProvider):
    """Looks up what is pinned; fails while anything is missing."""

    # What is serialised is a reference to this class: there is nothing to hide in it.
    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Tie this process to the engine; called once in the provider's process."""
        del req
        bind_to_engine()

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Return whether it must be looked up again: other pins, or another VM."""
        return DiffResult(changes=any(_olds.get(key) != _news.get(key) for key in KEPT))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Look it up for the first time."""
        _look_up()
        return CreateResult(id_=str(props["registry"]), outs=_outputs(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Look it up again."""
        _look_up()
        return UpdateResult(outs=_outputs(_news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Return what is known."""
        return ReadResult(id_, _outputs(props))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Do nothing: what the registry holds is on its disk."""


def _outputs(props: dict[str, Any]) -> dict[str, Any]:
    return {key: props[key] for key in KEPT}


def _look_up() -> None:
    # Imported where it is used: the program that only declares this resource needs none of it.
    from permafrost.runbook.registry_contents import require_contents
    from permafrost.wiring import open_context

    context = open_context(Path(os.environ["PERMAFROST_SITE"]))
    context.guard()
    require_contents(context)
