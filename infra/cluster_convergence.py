"""What the knowledge tier is told as a whole, as a resource that follows its members.

A resource for the same reason as the convergence of a node: when it fails, the next ``up`` comes
back to it. The state holds a fingerprint and the *name* of this provider, no code and no secret.
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


class ClusterConvergenceProvider(ResourceProvider):
    """Tells the cluster its users and canaries, and waits until every proxy answers right."""

    # What is serialised is a reference to this class: there is nothing to hide in it.
    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Tie this process to the engine; called once in the provider's process."""
        del req
        bind_to_engine()

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Return whether the cluster must be told again. It is never replaced."""
        return DiffResult(changes=_olds.get("fingerprint") != _news.get("fingerprint"))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Tell a new cluster."""
        _settle()
        return CreateResult(id_=str(props["cluster"]), outs=_outputs(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Tell the cluster again."""
        _settle()
        return UpdateResult(outs=_outputs(_news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Return what is known; the cluster itself is asked when it is told."""
        return ReadResult(id_, _outputs(props))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Do nothing: the cluster is gone with its members."""


def _outputs(props: dict[str, Any]) -> dict[str, Any]:
    return {key: props[key] for key in ("cluster", "fingerprint")}


def _settle() -> None:
    # Imported where it is used: the program that only declares this resource needs none of it.
    from infra.vm_hooks import OWNER
    from permafrost.runbook.knowledge import settle_cluster
    from permafrost.wiring import open_context

    settle_cluster(open_context(Path(os.environ["PERMAFROST_SITE"])), owner=OWNER)
