"""From one slot to the other and back while clients ask: the map's file first, then the map."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.contract.edge.changes import load
from tests.contract.edge.front import Front

OLD, NEW = ("sha256:" + digit * 64 for digit in "12")
STAYS_S = 2.0


def cutover(folder: Path, *, by_file: bool) -> dict[str, Any]:
    """Cut over, reload in the middle, go back; say who answered in between."""
    moments: dict[str, float] = {}
    with Front(folder, beside=NEW) as front:

        def to(slot: str) -> None:
            file = folder / "slots.map"
            if by_file:
                lines = file.read_text(encoding="ascii").splitlines()
                lines[0] = f"chat {slot}"
                file.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
            front.tell(f"set map {file} chat {slot}")

        def meanwhile() -> None:
            for name, change in (
                ("over", lambda: to("b")),
                ("reloaded", front.reload),
                ("back", lambda: to("a")),
            ):
                change()
                moments[name] = time.time()
                time.sleep(STAYS_S)

        asked = load(front, meanwhile, key="")
    named = [(a.began, a.headers.get("permafrost-checkpoint", "")) for a in asked]

    def between(begin: float, end: float) -> Counter[str]:
        return Counter(name for began, name in named if begin <= began < end)

    over, reloaded, back = (moments[name] for name in ("over", "reloaded", "back"))
    return {
        "statuses": Counter(str(a.status) for a in asked),
        "requests": len(asked),
        "after_it": between(over, over + STAYS_S),
        "after_a_reload": between(reloaded, reloaded + STAYS_S),
        "back": between(back, float("inf")),
    }
