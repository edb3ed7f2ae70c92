"""Running one of the lab's own servers: in its own control group, found again without a parent.

A server runs while its group is populated. The file beside its log says which command it was
started with; another command (a newer program, another configuration) restarts it.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import LabError
from lab.instance.cgroups import Cgroup
from lab.instance.model import Instance
from lab.instance.secrets import write_private
from lab.instance.spawn import locked, spawn
from lab.instance.waiting import wait_until

START_TIMEOUT_S = 5.0
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Daemon:
    """One server: what starts it, and how to see that it answers."""

    instance: Instance
    name: str
    argv: Sequence[str] = ()
    ready: Callable[[], bool] = lambda: True
    inputs: Sequence[Path] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.instance.run_dir / f"{self.name}.log"

    @property
    def group(self) -> Cgroup:
        """The control group that holds its processes."""
        return self.instance.service_group(self.name)

    @property
    def is_running(self) -> bool:
        """Whether any of its processes lives."""
        return self.group.populated

    @property
    def _stamp_file(self) -> Path:
        return self.instance.run_dir / f"{self.name}.started"

    def _stamp(self) -> str:
        digest = hashlib.sha256(json.dumps(list(self.argv)).encode())
        for path in self.inputs:
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def ensure(self) -> bool:
        """Start the server unless it runs as asked, and await its answer; True when started.

        Raises LabError when it ends or does not answer in time.
        """
        group = self.group
        started = False
        with locked(self.instance.lock_file(self.name)) as lock:
            stamp = self._stamp()
            if self.is_running and self._recorded() != stamp:
                self._stop()
            if not self.is_running:
                group.create()
                group.prune()
                write_private(self._stamp_file, stamp)
                spawn(
                    self.argv,
                    groups=[group.path],
                    lock=lock,
                    log=self.log,
                    env={**os.environ, **self.env},
                )
                started = True
                wait_until(lambda: self.is_running, START_TIMEOUT_S, 0.005)
        self._await_ready()
        return started

    def _recorded(self) -> str:
        with suppress(OSError):
            return self._stamp_file.read_text()
        return ""

    def _await_ready(self) -> None:
        answer = wait_until(
            lambda: "ready" if self.ready() else (None if self.is_running else "ended"),
            READY_TIMEOUT_S,
            0.1,
        )
        if answer != "ready":
            said = "ended" if answer else f"does not answer after {READY_TIMEOUT_S:.0f} s"
            raise LabError(
                "LAB_SERVICE_NOT_READY", f"{self.name} {said}: {self._tail()}", f"read {self.log}"
            )

    def _tail(self) -> str:
        with suppress(OSError):
            return " / ".join(self.log.read_text(errors="replace").strip().splitlines()[-3:])
        return ""

    def stop(self) -> None:
        """End the server: asked first, then by its group."""
        with locked(self.instance.lock_file(self.name)):
            self._stop()

    def _stop(self) -> None:
        group = self.group
        for pid in group.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if not wait_until(lambda: not group.populated, STOP_TIMEOUT_S, 0.05):
            group.kill()
