"""A named run of something that changes the site, with its lines in the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_registry.person import person
from permafrost.engine.state import Phase
from permafrost.errors import Held, PermafrostError, Refused
from permafrost.planning.lifecycle import OPERATOR
from permafrost.runbook.context import Context
from permafrost.runbook.receipts import parts_of, write_receipt

RECEIPT = "receipt"
"""The line of a journal that says where the receipt is."""

Journal = Callable[[str, str, Phase, Mapping[str, Any]], None]


@dataclass
class OpenOperation:
    """An operation that is under way; called, it writes a line of its journal."""

    ctx: Context
    id: str
    steps: int = 0

    def __call__(self, kind: str, target: str, phase: Phase, about: Mapping[str, Any]) -> None:
        """Write a line; each intent is the next step."""
        self.steps += phase is Phase.INTENT
        step = f"{self.steps:02}"
        self.ctx.store.note(self.id, step, kind=kind, target=target, phase=phase, detail=about)

    def write_receipt(self, about: Mapping[str, Any]) -> Path:
        """Write its receipt, and note where it is: before the end, so that none is without."""
        self(RECEIPT, self.ctx.site.site, Phase.INTENT, {})
        parts = parts_of(self.ctx, self.id)
        path = write_receipt(self.ctx, {**about, "operation": self.id, "parts": parts})
        self(RECEIPT, self.ctx.site.site, Phase.DONE, {"receipt": str(path)})
        return path


@contextmanager
def operation(
    ctx: Context, command: str, *, owner: str, fingerprint: str = "", detail: Any = None
) -> Iterator[OpenOperation]:
    """Open an operation for a block; its outcome is noted however the block ends."""
    identity = ctx.store.begin(command, owner=owner, fingerprint=fingerprint, detail=detail)
    try:
        yield OpenOperation(ctx, identity)
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
