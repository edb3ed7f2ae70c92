"""Machines on one link: each a network and a mount namespace of its own, in which servers run.

All of it is inside the namespaces of the process that begins it, and ends with that process.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

LINK = "ens192"
BRIDGE = "br0"


def sh(*argv: str, stdin: str | None = None) -> str:
    """Run a command that must succeed; return what it prints."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (argv, done.stdout, done.stderr)
    return done.stdout


def begin_link(address: str) -> None:
    """Make the link; this process has an address on it."""
    sh("ip", "link", "set", "lo", "up")
    sh("ip", "link", "add", BRIDGE, "type", "bridge")
    sh("ip", "address", "add", address, "dev", BRIDGE)
    sh("ip", "link", "set", BRIDGE, "up")


class Machine:
    """One machine with these addresses; ``folders`` (there: here) are its own."""

    def __init__(self, name: str, addresses: list[str], folders: dict[str, Path]) -> None:
        self.name = name
        self._stays = subprocess.Popen(["unshare", "--net", "--mount", "sleep", "infinity"])
        own = Path("/proc/self/ns/mnt").readlink()
        end = time.monotonic() + 10
        while Path(f"/proc/{self._stays.pid}/ns/mnt").readlink() == own:
            assert time.monotonic() < end
            time.sleep(0.01)
        here = f"v-{name[-9:]}"
        sh(
            *("ip", "link", "add", here, "master", BRIDGE, "type", "veth"),
            *("peer", "name", LINK, "netns", str(self._stays.pid)),
        )
        sh("ip", "link", "set", here, "up")
        self.sh("ip", "link", "set", "lo", "up")
        self.sh("ip", "link", "set", LINK, "up")
        for address in addresses:
            self.sh("ip", "address", "add", address, "dev", LINK)
        self.sh("mount", "-t", "tmpfs", "tmpfs", "/run")
        for there, folder in folders.items():
            self.sh("mount", "--bind", str(folder), there)

    def argv(self, *argv: str) -> list[str]:
        """Return a command as it is run inside."""
        return ["nsenter", f"--target={self._stays.pid}", "--net", "--mount", *argv]

    def sh(self, *argv: str, stdin: str | None = None) -> str:
        """Run a command inside that must succeed; return what it prints."""
        return sh(*self.argv(*argv), stdin=stdin)

    def start(self, log: Path, *argv: str) -> subprocess.Popen[bytes]:
        """Start a server inside; the process is the server's own."""
        with log.open("ab") as file:
            return subprocess.Popen(self.argv(*argv), stdout=file, stderr=file)
