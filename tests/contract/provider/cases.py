"""The recorded cases, and which of them a quick run takes."""

from __future__ import annotations

import json
import lzma
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "cases"
SLOW = ("no-address", "slow-address", "shutdown-ignored")
"""Words in names of cases that wait out a guest's minute."""
REFUSED = {
    "robustness/update-reconfigure-refused": "ReconfigVM_Task",
    "robustness/update-power-on-refused": "PowerOnVM_Task",
    "robustness/create-power-on-refused": "PowerOnVM_Task",
}
"""The call that vCenter refused in the step that is marked `recordOnly`."""


@dataclass(frozen=True)
class Case:
    """Calls that belong together."""

    suite: str
    name: str
    steps: tuple[dict[str, Any], ...]

    @property
    def id(self) -> str:
        """Name of the case among all suites."""
        return f"{self.suite}/{self.name}"

    @property
    def slow(self) -> bool:
        """Say whether the case waits for something that never comes."""
        return any(word in self.name for word in SLOW)


@cache
def load() -> tuple[Case, ...]:
    """Return all cases, in the order they were recorded."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for path in sorted(FOLDER.glob("*.jsonl.xz")):
        suite = path.name.removesuffix(".jsonl.xz")
        for line in lzma.decompress(path.read_bytes()).decode().splitlines():
            step = json.loads(line)
            found.setdefault((suite, step["case"]), []).append(step)
    return tuple(Case(suite, name, tuple(steps)) for (suite, name), steps in found.items())
