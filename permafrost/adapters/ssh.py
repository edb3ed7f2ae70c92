"""Commands on nodes over OpenSSH: one shared connection a node, own known hosts, deadlines.

A node is known by its name (``HostKeyAlias``), so that an address that is given to another node
does not look like an attack, and a replaced VM is forgotten by its name.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import join
from typing import Protocol

from permafrost.adapters.ssh_lifeline import Lifeline
from permafrost.errors import Failed, Problem

log = logging.getLogger(__name__)

USER = "permafrost"
CONNECT_S = 5
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
UNREACHABLE = 255
"""The status with which ssh reports trouble of its own."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command on a node ended."""

    status: int
    stdout: str
    stderr: str


class Shell(Protocol):
    """Runs commands on nodes."""

    def run(
        self, node: str, argv: Sequence[str], *, stdin: str = "", deadline_s: float = 30
    ) -> CommandResult:
        """Run a command; raise Failed (NODE_UNREACHABLE) when the node cannot be asked."""


class SshShell:
    """The real shell. ``addresses`` says where each node is."""

    def __init__(self, state_dir: Path, addresses: Mapping[str, str]) -> None:
        self._addresses = dict(addresses)
        self._folder = state_dir / "ssh"
        self._made: Path | None = None
        self._lifeline = Lifeline()

    @property
    def _control(self) -> Path:
        """Where the sockets of shared connections lie; made when first needed."""
        if self._made is None:
            self._made = _control_folder(self._folder)
        return self._made

    def run(
        self, node: str, argv: Sequence[str], *, stdin: str = "", deadline_s: float = 30
    ) -> CommandResult:
        """Run a command; it must be safe to repeat, for a stale connection is tried again."""
        is_shared = (self._control / node).exists()
        if not is_shared:
            self._lifeline.opened(self._control, node)
        result = self._once(node, argv, stdin, deadline_s)
        if result.status == UNREACHABLE and is_shared:
            # The shared connection outlived the machine at its other end.
            self.disconnect(node)
            result = self._once(node, argv, stdin, deadline_s)
        if result.status == UNREACHABLE:
            raise _unreachable(node, _last_line(result.stderr))
        return result

    @contextmanager
    def forwarded(self, node: str, port: int, *, deadline_s: float = 15) -> Iterator[int]:
        """Give a port on the loopback behind which a node's own port lies, for a block."""
        local = _free_port()
        command = [
            *DIES_WITH_US,
            "ssh",
            *self._options(node, shared=False),
            *("-o", "ExitOnForwardFailure=yes", "-N"),
            *("-L", f"127.0.0.1:{local}:{self._addresses[node]}:{port}"),
            self._target(node),
        ]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            _await_listening(process, node, local, deadline_s)
            yield local
        finally:
            # It keeps nothing, and one that was begun with SIGTERM ignored would not hear that.
            process.kill()
            process.communicate()

    def disconnect(self, node: str) -> None:
        """End the shared connection of a node."""
        self._local(["ssh", *self._options(node), "-O", "exit", self._target(node)])
        (self._control / node).unlink(missing_ok=True)

    def forget(self, node: str) -> None:
        """Forget a node's host key: its VM is replaced or gone."""
        self.disconnect(node)
        known = self._folder / "known_hosts"
        if known.exists():
            # ssh-keygen writes the whole file anew: two at once would undo each other.
            with (self._folder / "known_hosts.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._local(["ssh-keygen", "-q", "-R", node, "-f", str(known)])

    def _once(
        self, node: str, argv: Sequence[str], stdin: str, deadline_s: float
    ) -> CommandResult:
        # With us the client ends, and the command with it; the connection: see ``ssh_lifeline``.
        command = [
            *DIES_WITH_US,
            "ssh",
            *self._options(node),
            self._target(node),
            "--",
            join(argv),
        ]
        try:
            done = subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=deadline_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            self.disconnect(node)
            raise _unreachable(node, f"no answer to `{argv[0]}` within {deadline_s:g} s") from None
        except OSError as error:
            raise Failed(
                Problem("SSH_MISSING", f"cannot run ssh: {error.strerror}", hint="install it")
            ) from None
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def _target(self, node: str) -> str:
        return f"{USER}@{self._addresses[node]}"

    def _options(self, node: str, *, shared: bool = True) -> list[str]:
        settings = {
            "BatchMode": "yes",
            "ConnectTimeout": str(CONNECT_S),
            "ControlMaster": "auto" if shared else "no",
            "ControlPath": str(self._control / node) if shared else "none",
            "ControlPersist": "60",
            "GlobalKnownHostsFile": "none",
            "HostKeyAlias": node,
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "IdentityFile": str(self._folder / "id_ed25519"),
            "LogLevel": "ERROR",
            "PreferredAuthentications": "publickey",
            "ServerAliveCountMax": "2",
            "ServerAliveInterval": "3",
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": str(self._folder / "known_hosts"),
        }
        options = ["-F", "none", "-T"]
        for key, value in settings.items():
            options += ["-o", f"{key}={value}"]
        return options

    def _local(self, command: list[str]) -> None:
        try:
            subprocess.run(command, capture_output=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            log.debug("%s: %s", command[0], error)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _await_listening(
    process: subprocess.Popen[str], node: str, port: int, deadline_s: float
) -> None:
    ends = time.monotonic() + deadline_s
    while time.monotonic() < ends:
        if process.poll() is not None:
            said = process.stderr.read() if process.stderr else ""
            raise _unreachable(node, _last_line(said))
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise _unreachable(node, f"no tunnel within {deadline_s:g} s")


def _control_folder(keys: Path) -> Path:
    """Return a private folder for sockets; their paths must stay under 108 bytes.

    ``keys/control`` leads there, so that who removes the state finds it.
    """
    tag = hashlib.sha256(str(keys.parent).encode()).hexdigest()[:8]
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    folder = Path(base) / f"permafrost-{os.getuid()}-{tag}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise Failed(
            Problem(
                "CONTROL_FOLDER_UNSAFE",
                f"{folder} belongs to somebody else or is open to others",
                hint="remove it",
            )
        )
    link = keys / "control"
    if not link.is_symlink() or link.readlink() != folder:
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Several threads and processes may be here at once; each puts the same link in place.
        fresh = keys / f".control.{os.getpid()}.{threading.get_ident()}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(folder)
        fresh.replace(link)
    return folder


def _unreachable(node: str, reason: str) -> Failed:
    return Failed(
        Problem(
            "NODE_UNREACHABLE",
            reason or "no connection by SSH",
            path=node,
            hint="`permafrost status` shows the VM's power and host; then try again",
        )
    )


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
