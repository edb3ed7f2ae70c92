"""One stack of Pulumi: made, previewed, brought up, refreshed, destroyed and repaired."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from permafrost.adapters.pulumi_stack import repair
from permafrost.adapters.pulumi_stack.changes import Change, EventLog
from permafrost.adapters.pulumi_stack.command import Finished, run_child
from permafrost.adapters.pulumi_stack.configuration import write_working_configuration
from permafrost.adapters.pulumi_stack.environment import (
    CHECKOUT,
    PROJECT,
    pulumi_program,
    stack_environment,
    stack_files,
    write_authorities,
)
from permafrost.adapters.pulumi_stack.failures import translate
from permafrost.adapters.pulumi_stack.locks import stack_locks
from permafrost.adapters.pulumi_stack.orphans import (
    half_made,
    remove_half_made,
    remove_orphans,
)
from permafrost.pki.files import locked
from permafrost.planning.interruption import Interruption, StackHold
from permafrost.topology import node_names

if TYPE_CHECKING:
    from permafrost.site.load import LoadedSite

log = logging.getLogger(__name__)

Progress = Callable[[str], None]
LOCK_TOKEN = "PERMAFROST_LOCK_TOKEN"  # noqa: S105  (the name of a variable)
SHORT_S = 120.0


class PulumiStack:
    """The port ``Provisioner``, served by the Pulumi CLI and its file backend.

    Every call has a deadline; every child dies with this process.
    """

    def __init__(
        self,
        loaded: LoadedSite,
        *,
        engine: Path | None = None,
        progress: Progress | None = None,
        checkout: Path = CHECKOUT,
    ) -> None:
        self._loaded = loaded
        self._engine = engine
        self._progress = progress
        self._checkout = checkout
        self._stack = loaded.site.control.pulumi_stack
        self._deadline_s = 1800.0 + 300.0 * len(node_names(loaded.site))

    def env(self) -> dict[str, str]:
        """Return the variables with which a typed ``pulumi`` reaches the same stack."""
        return stack_environment(self._loaded, engine=self._engine)

    def ensure_stack(self) -> None:
        """Make the stack where there is none, and what a typed ``pulumi`` needs beside it."""
        files = stack_files(self._loaded)
        with locked(files):
            write_authorities(self._loaded)
            write_working_configuration(self._loaded, self._checkout)
            self._mend_notes()
            if not (files / ".pulumi" / "stacks" / PROJECT / f"{self._stack}.json").exists():
                # In the folder of the working copy, so that the salt is written there.
                self._run("stack", "init", self._stack, cwd=files, deadline_s=SHORT_S)

    def preview(self, *, refresh: bool = False) -> tuple[Change, ...]:
        """Return what an ``up`` would change; nothing is touched."""
        events = EventLog()
        self._run(
            *("preview", "--json", "--non-interactive", *(["--refresh"] if refresh else [])),
            events=events,
            extra={"PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true"},
            deadline_s=self._deadline_s,
        )
        return events.summary()

    def up(self, lock_token: str = "", *, refresh: bool = False) -> None:
        """Make it so. Hooks and converging resources join the operation by the token."""
        self._act("up", *(["--refresh"] if refresh else []), lock_token=lock_token)

    def refresh(self) -> None:
        """Read the real state of every resource into the stack."""
        self._act("refresh")

    def destroy(self, lock_token: str = "") -> None:
        """Remove every resource of the stack; the program runs, for the sake of its hooks."""
        if self._loaded.site.knowledge is not None:
            # Members that hold data are protected; who asked for this has seen that they go.
            self._run("state", "unprotect", "--all", "--yes", deadline_s=SHORT_S)
        self._act("destroy", "--run-program", lock_token=lock_token)

    def interruption(self) -> Interruption:
        """Return what an interrupted run left behind; nothing is touched."""
        files = stack_files(self._loaded)
        known = repair.known_vms(files, PROJECT, self._stack)
        pending = repair.pending_operations(files, PROJECT, self._stack)
        return Interruption(
            holds=tuple(
                StackHold(lock.pid, lock.machine, lock.is_dead())
                for lock in stack_locks(files, PROJECT, self._stack)
            ),
            processes=len(repair.leftovers(self.env()["PULUMI_BACKEND_URL"])),
            pending=tuple(str(p) for p in pending),
            half_made=half_made(self._loaded, self._unknown(known)),
        )

    def _mend_notes(self) -> None:
        """Make Pulumi's files readable again, unless somebody who may live writes them."""
        files = stack_files(self._loaded)
        if all(lock.is_dead() for lock in stack_locks(files, PROJECT, self._stack)):
            repair.remove_damaged_notes(files)

    def _unknown(self, known: frozenset[str]) -> set[str]:
        """Return the site's nodes whose VM Pulumi does not know."""
        return {name for name, _, _ in node_names(self._loaded.site)} - known

    def repair(self) -> None:
        """Clear what an interrupted run left: a dead lock, its processes, pending operations."""
        environment = self.env()
        files = stack_files(self._loaded)
        repair.end_leftovers(environment["PULUMI_BACKEND_URL"])
        repair.remove_dead_locks(files, PROJECT, self._stack)
        self._mend_notes()
        pending = repair.pending_operations(files, PROJECT, self._stack)
        known = repair.known_vms(files, PROJECT, self._stack)
        remove_half_made(self._loaded, self._unknown(known))
        if pending:
            log.warning("an interrupted run left %d pending operations", len(pending))
            remove_orphans(self._loaded, pending)
            self._act("refresh", "--clear-pending-creates")

    def _act(self, command: str, *options: str, lock_token: str = "") -> None:
        self._run(
            *(command, "--yes", "--skip-preview", "--json", "--non-interactive", *options),
            events=EventLog(),
            progress=self._progress,
            extra={LOCK_TOKEN: lock_token} if lock_token else {},
            deadline_s=self._deadline_s,
        )

    def _run(
        self,
        *arguments: str,
        deadline_s: float,
        events: EventLog | None = None,
        progress: Progress | None = None,
        extra: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Finished:
        environment = {**self.env(), **(extra or {})}

        def read(line: str) -> None:
            if events is not None and (shown := events.feed(line)) and progress is not None:
                progress(shown)

        finished = run_child(
            [pulumi_program(environment), *arguments],
            cwd=cwd or self._checkout,
            environment=environment,
            deadline_s=deadline_s,
            on_line=read,
        )
        if finished.status != 0:
            raise translate(arguments[0], finished, events)
        return finished
