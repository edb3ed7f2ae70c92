"""What an operation leaves behind for people and auditors: one JSON file each, chained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from permafrost import __version__
from permafrost.engine.timestamps import now_text
from permafrost.runbook.context import Context


def write_receipt(ctx: Context, about: dict[str, Any]) -> Path:
    """Write a receipt whole; it says where it was had (lab or hardware) and by which release."""
    receipt = {
        "schema": 1,
        "site": ctx.site.site,
        "environment": ctx.site.environment,
        "permafrost": __version__,
        "finished_at": now_text(),
        **about,
    }
    return ctx.store.receipts.append(str(about["command"]), receipt)
