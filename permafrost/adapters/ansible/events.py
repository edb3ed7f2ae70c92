"""What Ansible reports while it runs, reduced to what a person needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LONGEST_MESSAGE = 600
HIDDEN = "the output is hidden because it may hold a secret"


@dataclass(frozen=True, slots=True)
class FailedTask:
    """A task that failed, and what it said."""

    task: str
    message: str
    is_unreachable: bool = False


@dataclass
class Collector:
    """Takes events one by one; keeps changed tasks, failures and the counts at the end."""

    changed_tasks: list[str] = field(default_factory=list)
    failures: list[FailedTask] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def take(self, event: Mapping[str, Any]) -> bool:
        """Note one event; True, so that ansible-runner keeps it among the artifacts."""
        data = event.get("event_data") or {}
        match event.get("event"):
            case "runner_on_ok" if (data.get("res") or {}).get("changed"):
                self.changed_tasks.append(_task(data))
            case "runner_on_failed" if not data.get("ignore_errors"):
                self.failures.append(FailedTask(_task(data), message_of(data.get("res") or {})))
            case "runner_on_unreachable":
                message = message_of(data.get("res") or {})
                self.failures.append(FailedTask(_task(data), message, is_unreachable=True))
            case "playbook_on_stats":
                for kind in ("ok", "changed", "failures", "dark"):
                    self.counts[kind] = sum((data.get(kind) or {}).values())
        return True

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "changed_tasks": self.changed_tasks,
            "failures": [
                {"task": f.task, "message": f.message, "is_unreachable": f.is_unreachable}
                for f in self.failures
            ],
            "counts": self.counts,
        }


def message_of(result: Mapping[str, Any]) -> str:
    """Return what a failed task said: of the item that failed, when it went over a list."""
    if "censored" in result:
        return HIDDEN
    for item in result.get("results") or []:
        if isinstance(item, dict) and (item.get("failed") or item.get("unreachable")):
            name = item.get("_ansible_item_label") or item.get("item")
            return f"{name}: {message_of(item)}"
    parts = [str(result.get("msg") or "")]
    parts += [str(result.get(stream) or "") for stream in ("stderr", "module_stderr")]
    if not any(parts):
        parts.append(str(result.get("stdout") or ""))
    lines = [line.strip() for part in parts for line in part.splitlines() if line.strip()]
    unique = list(dict.fromkeys(lines))
    text = " / ".join(unique) or "it gave no message"
    return text if len(text) <= LONGEST_MESSAGE else f"…{text[-LONGEST_MESSAGE:]}"


def _task(data: Mapping[str, Any]) -> str:
    role, task = data.get("role"), str(data.get("task") or "unknown task")
    return f"{role}: {task}" if role else task
