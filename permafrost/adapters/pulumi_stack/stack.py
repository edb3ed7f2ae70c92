"""One stack of Pulumi: made, previewed, brought up, refreshed, destroyed and repaired."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from permafrost.adapters.pulumi_stack import repair
from permafrost.adapters.pulumi_stack.backend import backend_of, require_folder, stack_files
from permafrost.adapters.pulumi_stack.belonging import record, require_never_made, require_own
from permafrost.adapters.pulumi_stack.changes import Change, EventLog
from permafrost.adapters.pulumi_stack.checkpoint import (
    Latest,
    is_compressed,
    known_vms,
    pending_operations,
    read_latest,
    secrets_settings,
)
from permafrost.adapters.pulumi_stack.configuration import write_working_configuration
from permafrost.adapters.pulumi_stack.elsewhere import exported, require_free, require_no_update
from permafrost.adapters.pulumi_stack.engine import Engine, Progress
from permafrost.adapters.pulumi_stack.environment import CHECKOUT, PROJECT, write_authorities
from permafrost.adapters.pulumi_stack.locks import stack_locks
from permafrost.adapters.pulumi_stack.orphans import (
    half_made,
    remove_half_made,
    remove_orphans,
)
from permafrost.adapters.pulumi_stack.under_way import await_clones
from permafrost.pki.files import locked
from permafrost.planning.interruption import Interruption, StackHold, require_ours
from permafrost.topology import holds_data, node_names

if TYPE_CHECKING:
    from permafrost.site.load import LoadedSite

log = logging.getLogger(__name__)

LOCK_TOKEN = "PERMAFROST_LOCK_TOKEN"  # noqa: S105  (the name of a variable)
SHORT_S = 120.0


class PulumiStack:
    """The port ``Provisioner``, served by the Pulumi CLI and the backend that the site names.

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
        self._engine = Engine(loaded, engine, checkout)
        self._backend = backend_of(loaded)
        self._progress = progress
        self._checkout = checkout
        self._stack = loaded.site.control.pulumi_stack
        self._deadline_s = 1800.0 + 300.0 * len(node_names(loaded.site))

    def env(self) -> dict[str, str]:
        """Return the variables with which a typed ``pulumi`` reaches the same stack."""
        return self._engine.env()

    def ensure_stack(self) -> None:
        """Make the stack where there is none, and what a typed ``pulumi`` needs beside it."""
        files = stack_files(self._loaded)
        with locked(files):
            write_authorities(self._loaded)
            require_folder(self._backend)
            self._mend_notes()
            latest = self._latest()
            if latest is None:
                require_never_made(self._loaded, self._backend)
            else:
                require_own(self._loaded.site, self._backend, latest)
            write_working_configuration(
                self._loaded, self._checkout, secrets_settings(latest or {})
            )
            if latest is None:
                self._engine.run(*self._init(), cwd=files, deadline_s=SHORT_S)
            record(self._loaded, self._backend)

    def _init(self) -> tuple[str, ...]:
        # Run in the folder of the working copy, so that salt and key are written there.
        provider = self._loaded.site.control.secrets_provider
        return ("stack", "init", self._stack, "--secrets-provider", provider, "--non-interactive")

    def _latest(self) -> Latest | None:
        """Return the stack's state, read here where that can be; None: there is no such stack."""
        folder = self._backend.folder
        if folder is not None and not is_compressed(folder, PROJECT, self._stack):
            return read_latest(folder, PROJECT, self._stack)
        said = self._engine.ask("stack", "export", "--stack", self._stack, deadline_s=SHORT_S)
        return exported(self._backend, said)

    def _holds(self) -> tuple[StackHold, ...]:
        """Return who has locked the stack; raise Held where that can only be asked."""
        if self._backend.folder is None:
            self._require_free()
            return ()
        return tuple(
            StackHold(lock.pid, lock.machine, lock.is_dead())
            for lock in stack_locks(self._backend.folder, PROJECT, self._stack)
        )

    def _require_free(self) -> None:
        if self._backend.is_service:
            listing = ("stack", "ls", "--json", "--project", PROJECT)
            said = self._engine.ask(*listing, deadline_s=SHORT_S)
            require_no_update(self._backend, self._stack, said)
        else:
            said = self._engine.ask(
                *self._init(), cwd=stack_files(self._loaded), deadline_s=SHORT_S
            )
            require_free(self._backend, said)

    def preview(self, *, refresh: bool = False) -> tuple[Change, ...]:
        """Return what an ``up`` would change; nothing is touched."""
        events = EventLog()
        self._engine.run(
            *("preview", "--json", "--non-interactive", *(["--refresh"] if refresh else [])),
            events=events,
            extra={"PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true"},
            deadline_s=self._deadline_s,
        )
        return events.summary()

    def up(self, lock_token: str = "", *, refresh: bool = False) -> None:
        """Make it so. Hooks and converging resources join the operation by the token."""
        self._act("up", *(["--refresh"] if refresh else []), lock_token=lock_token)

    def destroy(self, lock_token: str = "") -> None:
        """Remove every resource of the stack; the program runs, for the sake of its hooks."""
        if holds_data(self._loaded.site):
            # VMs that hold data are protected; who asked for this has seen that they go.
            self._engine.run("state", "unprotect", "--all", "--yes", deadline_s=SHORT_S)
        self._act("destroy", "--run-program", lock_token=lock_token)

    def interruption(self) -> Interruption:
        """Return what an interrupted run left behind; nothing is touched."""
        latest = self._latest() or {}
        return Interruption(
            holds=self._holds(),
            processes=len(repair.leftovers(self._backend.url, self._stack)),
            pending=tuple(str(p) for p in pending_operations(latest)),
            half_made=half_made(self._loaded, self._unknown(latest)),
        )

    def repair(self) -> None:
        """Clear what an interrupted run left: a dead lock, its processes, pending operations."""
        repair.end_leftovers(self._backend.url, self._stack)
        if self._backend.folder is not None:
            repair.remove_dead_locks(self._backend.folder, PROJECT, self._stack)
            self._mend_notes()
        # What somebody has under way on another machine looks like what a dead one left.
        require_ours(Interruption(holds=self._holds()))
        latest = self._latest() or {}
        pending = pending_operations(latest)
        await_clones(self._loaded, pending)
        remove_half_made(self._loaded, self._unknown(latest))
        if pending:
            log.warning("an interrupted run left %d pending operations", len(pending))
            remove_orphans(self._loaded, pending)
            self._act("refresh", "--clear-pending-creates")

    def _mend_notes(self) -> None:
        """Make Pulumi's files readable again, unless somebody who may live writes them."""
        folder = self._backend.folder
        if folder is None:
            return
        if all(lock.is_dead() for lock in stack_locks(folder, PROJECT, self._stack)):
            repair.remove_damaged_notes(folder, self._stack)

    def _unknown(self, latest: Latest) -> set[str]:
        """Return the site's nodes whose VM Pulumi does not know."""
        return {name for name, _, _ in node_names(self._loaded.site)} - known_vms(latest)

    def _act(self, command: str, *options: str, lock_token: str = "") -> None:
        self._engine.run(
            *(command, "--yes", "--skip-preview", "--json", "--non-interactive", *options),
            events=EventLog(),
            progress=self._progress,
            extra={LOCK_TOKEN: lock_token} if lock_token else {},
            deadline_s=self._deadline_s,
        )
