"""What a machine has written down since a moment: its journal with every field, and files."""

from __future__ import annotations

import base64
from typing import Any

PLACES = "/var/log /run /tmp /var/tmp /var/lib/haproxy /var/lib/permafrost"
JOURNAL = "journalctl --boot --identifier=permafrost-control --no-pager --output=cat"
NOTE = "/var/log/permafrost-control.log"
# What is no text is of no use here, and would be no answer that can be read.
TEXT = "tr -cd '\\11\\12\\40-\\176'"


def written(machine: Any, since: float) -> str:
    """Return all of it as text. The words looked for are never in a command: sudo logs those."""
    journal = f"journalctl --since=@{int(since)} --no-pager --all --output=export | {TEXT}"
    files = (
        f"find {PLACES} -xdev -type f -size -8M -newermt @{int(since)} "
        f"-not -path '*/log/journal/*' -exec cat {{}} + 2>/dev/null | {TEXT}"
    )
    return str(machine.check_output(journal)) + str(machine.run(files).stdout)


def write_down(machine: Any, words: str) -> None:
    """Write words into the journal and into a file on purpose: the control."""
    told = base64.b64encode(words.encode()).decode()
    machine.check_output(f"echo {told} | base64 -d | systemd-cat -t permafrost-control")
    machine.check_output(f"echo {told} | base64 -d > {NOTE}")


def forget(machine: Any) -> None:
    """Remove the file again."""
    machine.run(f"rm -f {NOTE}")
