"""The scenario that removes the site is the last: every other one needs a site."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_what_ends_the_site_is_collected_last() -> None:
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/acceptance"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    names = [line for line in done.stdout.splitlines() if "::" in line]
    ends = [n for n, name in enumerate(names) if name.startswith("tests/acceptance/test_teardown")]
    assert len(names) > 20
    assert ends == list(range(len(names) - len(ends), len(names)))
    assert ends
