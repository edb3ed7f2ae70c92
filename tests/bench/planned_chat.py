"""Another checkpoint for the language model under load: what it costs, against real work.

As ``planned`` does for pulse, whose bytes are nothing: here each replica pulls, verifies, loads
and proves a model. Of few requests the p99 is nearly the slowest one. Alone:
``python -m tests.bench.planned_chat``.
"""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path

from rich.table import Table

from tests.acceptance.driver import ROOT, Cli, traffic, wait_until
from tests.acceptance.versions import old_alone, two_of_chat
from tests.bench.planned import RATE, by_command, empty, rows

CHAT_RATE, BEFORE_S, AT_MOST_S = 0.5, 60.0, 1500


def chat_tables(site: Path) -> tuple[Table, Table]:
    """Upgrade, rollback and retire of chat under load, and where the time of each went; lab.

    The checkpoint that is brought in is a child of the one that serves. Afterwards the site is as
    it was, whatever became of the works.
    """
    env = {**os.environ, "PERMAFROST_SITE": str(site)}
    permafrost = Cli(ROOT / ".venv/bin/permafrost", env)
    lab = Cli(ROOT / ".venv/bin/permafrost-lab", env)
    table, spent = empty(
        f"planned work on chat under {CHAT_RATE}/s, {RATE}/s on pulse beside, "
        "against the same before it (lab)"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        versions = two_of_chat(site, permafrost, folder)
        works = ("upgrade", "chat", "--to", versions.new), ("rollback", "chat"), ("retire", "chat")
        try:
            for work in works:
                wait_until(
                    "every replica serves", lambda: permafrost.json("status")["healthy"], 120, 1
                )
                chat, pulse = (folder / f"{work[0]}-{of}.jsonl" for of in ("chat", "pulse"))
                with (
                    traffic(lab, "chat", CHAT_RATE, AT_MOST_S, 0.5, chat, *versions.also) as asked,
                    traffic(lab, "pulse", RATE, AT_MOST_S, 0.5, pulse) as beside,
                ):
                    loads = {" ".join(work[:2]): asked, "  pulse beside": beside}
                    for row in rows(loads, partial(by_command, permafrost, work, spent), BEFORE_S):
                        table.add_row(*row)
        finally:
            old_alone(permafrost, versions, "chat")
    return table, spent


if __name__ == "__main__":
    from rich.console import Console

    for part in chat_tables(Path(os.environ["PERMAFROST_SITE"])):
        Console(width=200).print(part)
