"""What an operation leaves behind for people and auditors: one JSON file each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from permafrost import __version__
from permafrost.engine.timestamps import now_text
from permafrost.runbook.context import Context


def write_receipt(ctx: Context, about: dict[str, Any]) -> Path:
    """Write a receipt whole; it says where it was had (lab or hardware) and by which release."""
    folder = ctx.loaded.state_dir / "receipts"
    folder.mkdir(mode=0o700, exist_ok=True)
    receipt = {
        "schema": 1,
        "site": ctx.site.site,
        "environment": ctx.site.environment,
        "permafrost": __version__,
        "finished_at": now_text(),
        **about,
    }
    stamp = str(receipt["finished_at"]).replace(":", "").replace("-", "")
    path = folder / f"{stamp}-{about['command']}.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(receipt, indent=2) + "\n", encoding="utf-8")
    partial.chmod(0o600)
    partial.replace(path)
    return path
