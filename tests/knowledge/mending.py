"""A site is left as a scenario found it, also where the scenario failed: the next one needs it.

What a scenario that passes leaves is its own affair; nothing here hides what it did.
"""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.driver import Cli
from tests.knowledge.test_losses import await_first_coordinators

LONG_S = 2400.0


def mend(permafrost: Cli, lab: Cli, site_file: Path, was: bytes) -> None:
    """Undo faults, changes of the site file and what was begun; return with the tier whole.

    Each command may have nothing to do, and says so: what counts is how the tier is in the end.
    """

    def say(*argv: str, timeout: float = LONG_S) -> int:
        done = permafrost.run(*argv, expect=None, timeout=timeout)
        said = (done.stdout + done.stderr).strip().splitlines()[-1:]
        print(f"mending: permafrost {' '.join(argv)}: exit {done.returncode}: {''.join(said)}")
        return done.returncode

    site_file.write_bytes(was)
    lab.run("fault", "heal", "all", expect=None)
    for run in permafrost.json("history", "--limit", "10")["operations"]:
        if run["interrupted"] and run["receipt"] is None and not run["finished_at"]:
            say("abort", run["operation"], "--yes")
    for host in permafrost.json("maintenance", "status")["hosts"]:
        say("maintenance", "exit", host["host"], "--yes")
    members = [m["name"] for m in permafrost.json("status")["knowledge"]["members"]]
    for member in members:
        say("undrain", member, "--yes")
    if say("deploy", "--yes") != 0:
        for member in members:
            say("rebuild", member, "--yes")
        say("resume", "--yes")
        permafrost.run("deploy", "--yes", timeout=LONG_S)
    await_first_coordinators(permafrost)
