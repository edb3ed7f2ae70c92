"""What passed and what failed over a whole run, of pytest's tests and of the other steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

_REASON_LINES = 12
_REASON_WIDTH = 400


@dataclass
class Tally:
    """Counts, and what failed: its name, and the reason where there is one."""

    passed: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)

    def step(self, name: str, *, well: bool) -> None:
        """Count one step that is not a pytest run."""
        if well:
            self.passed += 1
        else:
            self.failed += 1
            self.failures.append(name)

    def pytest(self, name: str, report: Path, status: int) -> None:
        """Count a pytest run by its JUnit report. A run without one counts as one failure."""
        try:
            root = ElementTree.parse(report).getroot()  # noqa: S314 - pytest wrote it
        except (OSError, ElementTree.ParseError):
            self.step(f"{name} (pytest exited {status} without a report)", well=False)
            return
        cases = list(root.iter("testcase"))
        bad = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
        skipped = [c for c in cases if c.find("skipped") is not None]
        self.passed += len(cases) - len(bad) - len(skipped)
        self.failed += len(bad)
        self.failures += [f"{c.get('classname')}::{c.get('name')}{_reason(c)}" for c in bad]
        if not bad and status != 0:
            self.step(f"{name} (pytest exited {status})", well=False)

    def closing_line(self) -> str:
        """Return the line that a run ends with."""
        return f"{self.passed} passed, {self.failed} failed"


def _reason(case: ElementTree.Element) -> str:
    """Return the first lines of what pytest says of a failure, indented below its name."""
    for kind in ("failure", "error"):
        found = case.find(kind)
        if found is not None and (message := found.get("message", "")):
            lines = message.splitlines()[:_REASON_LINES]
            return "".join(f"\n    {line[:_REASON_WIDTH]}" for line in lines)
    return ""
