"""Who an operation belongs to, and what its journal says of its receipt."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from permafrost.engine.state import Phase
from permafrost.runbook.context import Context
from permafrost.runbook.operations import RECEIPT, operation, operator


def test_the_operator_is_the_account_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "mallory")
    assert operator() == f"operator:{pwd.getpwuid(os.getuid()).pw_name}"


def test_a_receipt_is_announced_before_it_is_written(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lines(identity: str) -> list[tuple[str, Phase]]:
        return [(entry.kind, entry.phase) for entry in ctx.store.journal(identity)]

    at_the_write: list[list[tuple[str, Phase]]] = []
    append = ctx.store.receipts.append
    with operation(ctx, "deploy", owner="operator:me") as journal:

        def seen(command: str, receipt: dict[str, Any]) -> Path:
            at_the_write.append(lines(journal.id))
            return append(command, receipt)

        monkeypatch.setattr(ctx.store.receipts, "append", seen)
        path = journal.write_receipt({"command": "deploy"})
    assert at_the_write == [[(RECEIPT, Phase.INTENT)]]
    assert lines(journal.id) == [(RECEIPT, Phase.INTENT), (RECEIPT, Phase.DONE)]
    assert path.exists()
