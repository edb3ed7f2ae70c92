"""What ``permafrost-node state`` imports: it is run for each look at each node."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from permafrost.node.service import NodeService
from tests.unit.node.test_service import service, told, triton

__all__ = ["service", "told", "triton"]

HEAVY = ("concurrent.futures", "email", "http.client", "logging", "ssl", "subprocess")
OURS = {"", ".__main__", ".control", ".errors", ".settings"}


def imported(command: str, config: Path) -> set[str]:
    code = (
        "import sys\n"
        "from permafrost.node.__main__ import main\n"
        f"assert main(['--config', {str(config)!r}, {command!r}, '--json']) == 0\n"
        f"print(*(m for m in sys.modules if m in {HEAVY!r} or m.startswith('permafrost.node')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_a_question_imports_little(service: NodeService, node_json: Callable[..., Path]) -> None:
    assert imported("state", node_json()) == {f"permafrost.node{name}" for name in OURS}
    assert imported("probe", node_json()) == {f"permafrost.node{name}" for name in OURS}
