"""A node that a person has configured, or a member rebuilt: one operation, and its receipt.

Within a deployment, or a typed `pulumi up`, a convergence is a part of that and writes none.

Order of durable writes: the operation, what is done (drain and admission are operations of their
own, told as its parts), the receipt, a member's turn over, the end. Killed before the receipt, the
same command run again does what is left and writes it; killed after it, that writes another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    """What was asked for, and its open operation."""

    ctx: Context
    journal: OpenOperation
    command: str
    node: Node
    owner: str
    before: Mapping[str, Any]
    started_at: str = field(default_factory=now_text)
    receipt: str = ""

    def end(self, evidence: Mapping[str, Any]) -> None:
        """Write the receipt: all that was asked for is true."""
        _, fingerprint = self.ctx.store.converged(self.node.name) or ("", "")
        about = {
            "command": self.command,
            "target": self.node.name,
            "state": "done",
            "owner": self.owner,
            "started_at": self.started_at,
            "fingerprint": fingerprint,
            "before": dict(self.before),
            "requests": counted_since(self.ctx, self.journal.id),
            "evidence": dict(evidence),
            "steps": steps_of(self.ctx, self.journal.id),
        }
        self.receipt = str(self.journal.write_receipt(about))


@contextmanager
def by_hand(ctx: Context, command: str, node: Node, *, owner: str) -> Iterator[ByHand]:
    """Open the operation of a person on one node for a block."""
    declared = ctx.store.declared().get(node.name)
    _, fingerprint = ctx.store.converged(node.name) or ("", "")
    before = {
        "was": declared.state.value if declared else "",
        "owner": declared.owner if declared else "",
        "reason": declared.reason if declared else "",
        "fingerprint": fingerprint,
    }
    with operation(ctx, f"{command} {node.name}", owner=owner) as journal:
        begin_counting(ctx, journal.id)
        yield ByHand(ctx, journal, command, node, owner, before)
