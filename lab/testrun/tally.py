"""What passed and what failed over a whole run, of pytest's tests and of the other steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

_REASON_HEAD = 12
_REASON_TAIL = 30
_REASON_WIDTH = 400
_SAID = "E  "
"""How pytest begins the lines of a traceback that say what was wrong."""


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
    """Return what pytest says of a failure, indented below its name: its beginning and its end.

    The whole of it stands in the element's text; what pytest calls the message ends after a few
    lines, and what a program that failed said last is what is looked for.
    """
    for kind in ("failure", "error"):
        found = case.find(kind)
        if found is None:
            continue
        said = [
            line.removeprefix(_SAID).rstrip()
            for line in (found.text or "").splitlines()
            if line.startswith(_SAID)
        ]
        lines = _both_ends(said or found.get("message", "").splitlines())
        if lines:
            return "".join(f"\n    {line[:_REASON_WIDTH]}" for line in lines)
    return ""


def _both_ends(lines: list[str]) -> list[str]:
    """Return at most the first and the last lines of a long text, with what was left out."""
    left_out = len(lines) - _REASON_HEAD - _REASON_TAIL
    if left_out <= 1:
        return lines
    return [*lines[:_REASON_HEAD], f"[{left_out} lines]", *lines[-_REASON_TAIL:]]
