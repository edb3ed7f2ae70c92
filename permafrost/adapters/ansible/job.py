"""One Ansible run in a process of its own: ``python -m permafrost.adapters.ansible.job FOLDER``.

A process of its own, because ansible-runner forks and takes over signals, which neither a
Pulumi program with its gRPC threads nor a deploy with several nodes at once could bear. It ends
with whoever started it. The request is ``job.json``, the outcome ``outcome.json``.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import ansible_runner

from permafrost.adapters.ansible.events import Collector
from permafrost.adapters.ansible.workspace import KEPT_RUNS

_PR_SET_PDEATHSIG = 1


def main(folder: Path, parent: int) -> int:
    """Run the playbook that ``job.json`` names and write down how it ended."""
    _die_with(parent)
    request: dict[str, Any] = json.loads((folder / "job.json").read_text())
    collector = Collector()
    run = ansible_runner.run(
        private_data_dir=str(folder),
        project_dir=request["playbooks"],
        playbook=request["playbook"],
        inventory=str(folder / "inventory"),
        limit=request["node"],
        cmdline="--check --diff" if request["check"] else None,
        tags=request["tags"] or None,
        ident=request["ident"],
        rotate_artifacts=KEPT_RUNS,
        timeout=request["deadline_s"],
        event_handler=collector.take,
        quiet=True,
    )
    outcome = {**collector.as_dict(), "status": run.status, "rc": run.rc, "tail": _tail(run)}
    (folder / "outcome.json").write_text(json.dumps(outcome))
    return 0


def _tail(run: Any) -> str:
    """Return the first line that Ansible wrote when it stopped before the first task."""
    with run.stdout as output:
        lines = [line.strip() for line in output if line.strip()]
    return next((line for line in lines if "ERROR" in line), "")


def _die_with(parent: int) -> None:
    # ansible-runner turns SIGTERM into an orderly end of the play and its connections.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the starter has ended")


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
