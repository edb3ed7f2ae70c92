"""Reading every byte that this node keeps, also while it serves, and telling what was found.

A disk may lose bits between two loads. The result lies in a file that the service shows in state
and health; whoever finds it decides: what was loaded before is still what was verified then.
"""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from .errors import NodeError
from .store import ModelStore, alone

FILE = "scrub.json"
STALE_DAYS = 8
"""A complaint when the last is older: a week, the rarest timer that is sound, and a day."""


def scrub(store: ModelStore) -> dict[str, Any]:
    """Verify every tree of the store, write the result beside it and return it."""
    began, found, size = time.monotonic(), [], 0
    for tree in sorted(store.trees.glob("sha256-*")):
        checkpoint = tree.name.replace("sha256-", "sha256:")
        try:
            files = store.verify(checkpoint, from_disk=True)
        except NodeError as error:
            found.append({"checkpoint": checkpoint, "code": error.code, "what": error.message})
        except OSError as error:  # the others are still read, and what was found is told
            what = f"{tree} cannot be read: {error}"
            found.append({"checkpoint": checkpoint, "code": "STORE_FAILED", "what": what})
        else:
            size += sum(file.size for file in files)
    told = {
        "schema": 1,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "took_s": round(time.monotonic() - began, 1),
        "bytes": size,
        "wrong": found,
    }
    _write(store.trees.parent / FILE, told)
    return told


def last(models_dir: Path) -> dict[str, Any] | None:
    """Return the result of the last scrub, None before the first."""
    try:
        told = json.loads((models_dir / FILE).read_bytes())
        if datetime.fromisoformat(told["at"]).tzinfo is None:
            raise ValueError("a time of no zone")
        return {"at": told["at"], "wrong": list(told["wrong"])}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return {"at": "", "wrong": [{"code": "SCRUB_UNREADABLE", "what": str(models_dir / FILE)}]}


def complaint(told: dict[str, Any] | None, now: datetime | None = None) -> str:
    """Return one sentence about what the last scrub found, empty when all was well.

    A scrub that no longer comes to its end finds nothing either: its age is a complaint too.
    Before the first there is none, as on a node that was just made.
    """
    if not told:
        return ""
    if told["wrong"]:
        first = told["wrong"][0]
        return f"scrubbed at {told['at']}: {first['code']}: {first['what']}"
    age = (now or datetime.now(UTC)) - datetime.fromisoformat(told["at"])
    if age > timedelta(days=STALE_DAYS):
        return f"scrubbed last at {told['at']}: SCRUB_OVERDUE: {STALE_DAYS} days and more ago"
    return ""


def _write(path: Path, told: dict[str, Any]) -> None:
    with alone(path.with_name(f".{path.name}.part")) as part:
        with part.open("w", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(path)
