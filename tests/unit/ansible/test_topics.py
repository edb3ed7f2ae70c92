"""Topics that collections are written to are made before any process of Milvus starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROLE = Path(__file__).parents[3] / "playbooks" / "roles" / "milvus"


def test_topics_are_made_once_the_stores_answer_and_before_anything_starts() -> None:
    tasks: list[dict[str, Any]] = yaml.safe_load((ROLE / "tasks/run.yml").read_text())
    told = [" ".join(t.get("ansible.builtin.command", {}).get("argv", [])) for t in tasks]
    # A handler restarts what has changed, so it counts as a start.
    starts = [
        n
        for n, t in enumerate(tasks)
        if t.get("ansible.builtin.meta") == "flush_handlers"
        or t.get("ansible.builtin.systemd_service", {}).get("state") == "started"
    ]
    (answer,) = [n for n, words in enumerate(told) if " wait-for-stores " in words]
    (made,) = [n for n, words in enumerate(told) if " make-topics " in words]
    assert answer < made < min(starts)
