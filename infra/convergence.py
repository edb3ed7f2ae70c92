"""Convergence and admission of a node, as a resource that follows its VM.

It is a resource and not an after-hook, because a hook that fails is never come back to: here a
failed create or update leaves the old state, and the next ``up`` tries again. The state holds
fingerprints and the *name* of this provider, no code and no secret.
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

FINGERPRINTS = ("vm", "vm_fingerprint", "convergence", "checkpoint", "image")


class ConvergenceProvider(ResourceProvider):
    """Configures a node and admits it; what to compare are fingerprints alone."""

    # What is serialised is a reference to this class: there is nothing to hide in it.
    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Tie this process to the engine; called once in the provider's process."""
        del req
        bind_to_engine()

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Return whether the node must be configured again. It is never replaced."""
        differs = any(_olds.get(key) != _news.get(key) for key in FINGERPRINTS)
        return DiffResult(changes=differs or _was_drained_for_change(str(_news["node"])))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Configure the node of a new VM.

        A host key that is known under its name is another VM's: one that an interrupted run
        made, somebody looked at, and the next run replaced.
        """
        _converge(props, is_new=True)
        return CreateResult(id_=str(props["node"]), outs=_outputs(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Configure the node again; a VM that was lost and made anew has another host key."""
        _converge(_news, is_new=_olds.get("vm") != _news.get("vm"))
        return UpdateResult(outs=_outputs(_news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Return what is known; the node itself is observed when it is configured."""
        return ReadResult(id_, _outputs(props))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Do nothing: what is known of the node is forgotten when its VM is gone."""


def _outputs(props: dict[str, Any]) -> dict[str, Any]:
    return {key: props[key] for key in ("node", *FINGERPRINTS)}


def _converge(props: dict[str, Any], *, is_new: bool = False) -> None:
    # Imported where it is used: the program that only declares this resource needs none of it.
    from infra.vm_hooks import OWNER, forget_host_key
    from permafrost.runbook.converge import converge_node
    from permafrost.wiring import open_context

    context = open_context(Path(os.environ["PERMAFROST_SITE"]))
    if is_new:
        forget_host_key(context.loaded, str(props["node"]))
    converge_node(
        context,
        str(props["node"]),
        owner=OWNER,
        vm=str(props["vm"]),
        fingerprint=str(props["convergence"]),
    )


def _was_drained_for_change(name: str) -> bool:
    """Whether a hook took it away: it must be brought back, whatever else is equal."""
    from infra.vm_hooks import OWNER
    from permafrost.engine.state import DeclaredState, StateStore
    from permafrost.runbook.member_turn import TURN
    from permafrost.site.load import load_site

    store = StateStore(load_site(Path(os.environ["PERMAFROST_SITE"])).state_dir)
    if (store.recall(TURN) or {}).get("member") == name:
        return True
    declared = store.declared().get(name)
    return (
        declared is not None
        and declared.owner == OWNER
        and declared.state is not DeclaredState.ADMITTED
    )
