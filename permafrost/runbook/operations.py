"""A named run of something that changes the site, with its lines in the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from model_registry.person import person
from permafrost.engine.state import Phase
from permafrost.errors import Held, PermafrostError, Refused
from permafrost.planning.lifecycle import OPERATOR
from permafrost.runbook.context import Context

Journal = Callable[[str, str, Phase, Mapping[str, Any]], None]


@contextmanager
def operation(
    ctx: Context, command: str, *, owner: str, fingerprint: str = "", detail: Any = None
) -> Iterator[Journal]:
    """Open an operation for a block; its outcome is noted however the block ends."""
    identity = ctx.store.begin(command, owner=owner, fingerprint=fingerprint, detail=detail)
    steps = 0

    def journal(kind: str, target: str, phase: Phase, about: Mapping[str, Any]) -> None:
        nonlocal steps
        steps += phase is Phase.INTENT
        ctx.store.note(
            identity, f"{steps:02}", kind=kind, target=target, phase=phase, detail=about
        )

    try:
        yield journal
    except (Refused, Held):
        ctx.store.finish(identity, "REFUSED")
        raise
    except (PermafrostError, KeyboardInterrupt):
        ctx.store.finish(identity, "FAILED")
        raise
    except Exception:
        ctx.store.finish(identity, "FAILED")
        raise
    ctx.store.finish(identity, "DONE")


@contextmanager
def site_held(ctx: Context, owner: str) -> Iterator[str]:
    """Hold the site's lock for a block; children of ours join by its token."""
    with ctx.store.lock.held(owner) as token:
        before, ctx.lock_token = ctx.lock_token, token
        try:
            yield token
        finally:
            ctx.lock_token = before


def operator() -> str:
    """Return the person who runs this, as an owner."""
    return f"{OPERATOR}:{person()}"
