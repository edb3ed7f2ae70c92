"""Pulumi's CLI, asked for one thing at a time, with a deadline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Required, TypedDict, Unpack

from permafrost.adapters.pulumi_stack.changes import EventLog
from permafrost.adapters.pulumi_stack.command import Finished, run_child
from permafrost.adapters.pulumi_stack.environment import pulumi_program, stack_environment
from permafrost.adapters.pulumi_stack.failures import translate

if TYPE_CHECKING:
    from permafrost.site.load import LoadedSite

Progress = Callable[[str], None]


class How(TypedDict, total=False):
    """How a command is run. ``extra``: variables; ``cwd``: where, if not in the checkout."""

    deadline_s: Required[float]
    events: EventLog | None
    progress: Progress | None
    extra: dict[str, str] | None
    cwd: Path | None


class Engine:
    """Runs ``pulumi`` on the stack of a site, from the checkout unless another folder is said."""

    def __init__(self, loaded: LoadedSite, folder: Path | None, checkout: Path) -> None:
        self._loaded = loaded
        self._folder = folder
        self._checkout = checkout

    def env(self) -> dict[str, str]:
        """Return the variables with which every ``pulumi`` of the site runs."""
        return stack_environment(self._loaded, engine=self._folder)

    def run(self, *arguments: str, **how: Unpack[How]) -> Finished:
        """Run a command to its end; raise the error that says what it said."""
        finished = self.ask(*arguments, **how)
        if finished.status != 0:
            raise translate(arguments[0], finished, how.get("events"))
        return finished

    def ask(
        self,
        *arguments: str,
        deadline_s: float,
        events: EventLog | None = None,
        progress: Progress | None = None,
        extra: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Finished:
        """Run a command to its end, whichever that is."""
        environment = {**self.env(), **(extra or {})}

        def read(line: str) -> None:
            if events is not None and (shown := events.feed(line)) and progress is not None:
                progress(shown)

        return run_child(
            [pulumi_program(environment), *arguments],
            cwd=cwd or self._checkout,
            environment=environment,
            deadline_s=deadline_s,
            on_line=read,
        )
