"""What a person does in one go, without a plan of steps: one operation, and its receipt.

A node that is configured, or a member rebuilt; client keys, accepted settings, a recorded
fingerprint, a repair. Within a deployment, or a typed `pulumi up`, a convergence is a part of that
and writes none.

Order of durable writes: the operation, what is done (drain and admission are operations of their
own, told as its parts), the receipt, a member's turn over, the end. Killed before the receipt, the
same command run again does what is left and writes it; killed after it, that writes another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from permafrost.engine.timestamps import now_text
from permafrost.runbook.context import Context
from permafrost.runbook.counting import begin_counting, counted_since
from permafrost.runbook.operations import OpenOperation, operation
from permafrost.runbook.receipts import steps_of
from permafrost.topology import Node


@dataclass
class ByHand:
    """What was asked for, and its open operation. ``more``: what else its receipt tells."""

    ctx: Context
    journal: OpenOperation
    command: str
    target: str
    owner: str
    before: Mapping[str, Any]
    more: Callable[[], Mapping[str, Any]] = dict
    started_at: str = field(default_factory=now_text)
    receipt: str = ""

    def end(self, evidence: Mapping[str, Any]) -> None:
        """Write the receipt: all that was asked for is true. It holds no secret, as given."""
        about = {
            "command": self.command,
            "target": self.target,
            "state": "done",
            "owner": self.owner,
            "started_at": self.started_at,
            "fingerprint": "",
            "before": dict(self.before),
            **self.more(),
            "evidence": dict(evidence),
            "steps": steps_of(self.ctx, self.journal.id),
        }
        self.receipt = str(self.journal.write_receipt(about))


@contextmanager
def by_hand(
    ctx: Context,
    command: str,
    target: str,
    *,
    owner: str,
    before: Mapping[str, Any],
    named: str = "",
) -> Iterator[ByHand]:
    """Open the operation of a person for a block; ``named``: as the history has it, if not so.

    Nobody's requests are touched by it: none are counted.
    """
    with operation(ctx, named or f"{command} {target}", owner=owner) as journal:
        yield ByHand(ctx, journal, command, target, owner, before)


@contextmanager
def node_by_hand(ctx: Context, command: str, node: Node, *, owner: str) -> Iterator[ByHand]:
    """Open the operation of a person on one node for a block; its receipt counts requests."""
    declared = ctx.store.declared().get(node.name)
    before = {
        "was": declared.state.value if declared else "",
        "owner": declared.owner if declared else "",
        "reason": declared.reason if declared else "",
        "fingerprint": _configured_as(ctx, node),
    }
    with by_hand(ctx, command, node.name, owner=owner, before=before) as by:
        begin_counting(ctx, by.journal.id)
        by.more = lambda: {
            "fingerprint": _configured_as(ctx, node),
            "requests": counted_since(ctx, by.journal.id),
        }
        yield by


def _configured_as(ctx: Context, node: Node) -> str:
    _, fingerprint = ctx.store.converged(node.name) or ("", "")
    return fingerprint
