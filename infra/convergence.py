"""Convergence and admission of a node, as a resource that follows its VM."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulumi.dynamic import DiffResult

from infra.work_provider import WorkProvider


class ConvergenceProvider(WorkProvider):
    """Configures a node and admits it; what to compare are fingerprints alone."""

    subject = "node"
    compared = ("vm", "vm_fingerprint", "convergence", "checkpoint", "image")

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Return whether the node must be configured again. It is never replaced."""
        told = super().diff(_id, _olds, _news)
        return DiffResult(changes=told.changes or _was_drained_for_change(str(_news["node"])))

    def work(self, olds: Mapping[str, Any], news: Mapping[str, Any]) -> None:
        """Configure the node.

        A VM that is new, or was lost and made anew, has another host key: one that is known under
        its name is another VM's, which an interrupted run made and the next one replaced.
        """
        _converge(news, is_new=olds.get("vm") != news.get("vm"))


def _converge(props: Mapping[str, Any], *, is_new: bool) -> None:
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
