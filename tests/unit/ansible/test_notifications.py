"""No notification waits for another role: a play that fails there would lose it for good.

The next run finds the file as it is to be, and tells nobody that what runs is older than it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.golden.ansible.rendering import ROLES

FLUSH = "ansible.builtin.meta"
PARTS = ("ansible.builtin.import_tasks", "ansible.builtin.include_tasks")


def tasks(role: str, file: str = "main.yml") -> Iterator[dict[str, Any]]:
    """Yield the tasks of a role in their order, those of its other files among them."""
    for task in yaml.safe_load((ROLES / role / "tasks" / file).read_text()):
        part = next((task[key] for key in PARTS if key in task), None)
        if part is None:
            yield task
        else:
            yield from tasks(role, part["file"] if isinstance(part, dict) else part)


def depends_on(role: str) -> list[str]:
    meta = ROLES / role / "meta" / "main.yml"
    found = yaml.safe_load(meta.read_text())["dependencies"] if meta.exists() else []
    return [d["role"] for d in found]


def left_waiting(role: str) -> list[str]:
    """Return the tasks whose notification is still waiting when a role is through."""
    waiting: list[str] = []
    for task in (t for name in (*depends_on(role), role) for t in tasks(name)):
        if task.get(FLUSH) == "flush_handlers":
            waiting = []
        elif "notify" in task:
            waiting.append(task["name"])
    return waiting


NAMES = sorted(p.name for p in ROLES.iterdir())
SHARED = {name for role in NAMES for name in depends_on(role)}


@pytest.mark.parametrize("role", [name for name in NAMES if name not in SHARED])
def test_a_role_leaves_no_notification_waiting(role: str) -> None:
    assert left_waiting(role) == []


def test_what_is_shared_is_what_notifies_for_those_that_depend_on_it() -> None:
    assert list(SHARED) == ["haproxy"]
    assert left_waiting("haproxy"), "else nothing is seen of it here"
