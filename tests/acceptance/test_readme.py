"""The README's commands are run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.acceptance.driver import ROOT, Cli

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ (.+)$", README, re.MULTILINE)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "target", sorted({c.split()[1] for c in COMMANDS if c.startswith("make ")})
)
def test_each_make_target_of_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


def test_the_commands_of_the_readme_run_in_their_order(permafrost: Cli) -> None:
    for line in COMMANDS:
        if not line.startswith(("make ", "git ")):
            Cli(Path("/bin/bash"), permafrost.env).run("-ec", line, timeout=300)
    assert permafrost.json("status")["healthy"], "the demo leaves the site as it found it"


def test_the_readme_has_commands() -> None:
    assert len(COMMANDS) >= 5
