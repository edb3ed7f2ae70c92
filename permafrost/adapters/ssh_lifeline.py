"""Shared SSH connections end with a command that is killed, and stay for the next one otherwise.

OpenSSH puts the master of a shared connection in the background, where no parent's death reaches
it. So a shell of a few bytes, in the background too, holds the end of a pipe: what we opened is
told to it, and when the pipe closes without a word that we ended in order, it closes those.
Connections that another command opened stay, for that one may be using them.
"""

from __future__ import annotations

import atexit
import logging
import os
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

_KEPT = "/"
"""No node bears this name: whoever wrote it has ended in order."""

_GUARD = """
opened=
while read -r node; do
  [ "$node" = / ] && exit 0
  opened="$opened $node"
done
for node in $opened; do
  ssh -F none -o ControlPath="$1/$node" -O exit "$node" 2>/dev/null
  rm -f "$1/$node"
done
"""


class Lifeline:
    """Knows which shared connections this process opened; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pipe: int | None = None
        self._told: set[str] = set()

    def opened(self, folder: Path, node: str) -> None:
        """Tell that this process opens the connection of a node, whose socket is in ``folder``."""
        with self._lock:
            if node in self._told:
                return
            self._told.add(node)
            try:
                if self._pipe is None:
                    self._pipe = _started(folder)
                    atexit.register(self.kept)
                os.write(self._pipe, f"{node}\n".encode())
            except (OSError, subprocess.CalledProcessError) as error:
                # Without a guard a connection that is left idles to its end, as OpenSSH's do.
                log.debug("%s: %s", node, error)

    def kept(self) -> None:
        """Leave the connections to the next command: this one ends in order."""
        with self._lock:
            if self._pipe is not None:
                with suppress(BrokenPipeError):
                    os.write(self._pipe, f"{_KEPT}\n".encode())
                os.close(self._pipe)
                self._pipe = None
            self._told.clear()


def _started(folder: Path) -> int:
    # setsid --fork: in the background, so that who ends our children does not end this one too.
    reading, writing = os.pipe()
    try:
        subprocess.run(
            ["setsid", "--fork", "sh", "-c", _GUARD, "permafrost-ssh", str(folder)],
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    return writing
