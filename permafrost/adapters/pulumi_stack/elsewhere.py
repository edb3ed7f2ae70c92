"""A stack whose files are not at hand: what the engine says of it, and of who holds it.

Locks in such a backend can neither be listed nor judged from here (a bucket has no processes), so
none is removed. But nothing may be cleared away either while somebody works: before that the
engine is asked whether the stack is free, and where it does not say so clearly, it is not.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from permafrost.adapters.pulumi_stack.backend import WHERE, Backend
from permafrost.errors import Failed, Held, PermafrostError, Problem

if TYPE_CHECKING:
    from permafrost.adapters.pulumi_stack.checkpoint import Latest
    from permafrost.adapters.pulumi_stack.command import Finished

ABSENT = "no stack named"
PRESENT = "already exists"
LOCKED = "the stack is currently locked by"
LONGEST_MESSAGE = 2000


def exported(backend: Backend, finished: Finished) -> Latest | None:
    """Return the state of ``pulumi stack export``; None when there is no such stack."""
    if finished.status != 0:
        if ABSENT in finished.stderr and not finished.timed_out:
            return None
        raise unreachable(backend, finished)
    try:
        deployment: dict[str, Any] = json.loads(finished.stdout)["deployment"] or {}
    except (ValueError, KeyError, TypeError):
        raise unreachable(backend, finished) from None
    return deployment


def require_free(backend: Backend, finished: Finished) -> None:
    """Raise Held when somebody has the stack, by what ``pulumi stack init`` answers.

    Of a stack that is there it makes nothing; but it takes the stack's lock before it looks, and
    says whose lock stands in its way. No other command does that and touches nothing.
    """
    if LOCKED in finished.stderr:
        raise _held(backend, _said(backend, finished))
    if PRESENT not in finished.stderr:
        raise unreachable(backend, finished)


def require_no_update(backend: Backend, stack: str, finished: Finished) -> None:
    """Raise Held when Pulumi's service says, in ``pulumi stack ls``, that an update runs."""
    try:
        rows = json.loads(finished.stdout) if finished.status == 0 else []
    except ValueError:
        rows = []
    ours = [row for row in rows if str(row["name"]).rpartition("/")[2] == stack]
    if not ours:
        raise unreachable(backend, finished)
    if any(row.get("updateInProgress") for row in ours):
        raise _held(backend, f"an update of {stack} runs")


def unreachable(backend: Backend, finished: Finished) -> PermafrostError:
    """Return the error of a backend that did not answer as a backend does."""
    return Failed(
        Problem(
            "PULUMI_BACKEND_UNREACHABLE",
            f"{backend.shown}: {_said(backend, finished) or 'no answer in time'}",
            WHERE,
            "credentials come from the environment, as Pulumi documents them for this backend",
        )
    )


def _held(backend: Backend, message: str) -> Held:
    return Held(
        Problem(
            "PULUMI_STACK_LOCKED",
            message,
            hint=f"wait until it has ended; locks in {backend.shown} are never removed from here: "
            "where their process is gone for good, `pulumi cancel` does it",
        )
    )


def _said(backend: Backend, finished: Finished) -> str:
    """Return what the engine said, without its libraries' warnings and anybody's password."""
    lines = [line for line in finished.stderr.splitlines() if " WARN " not in line]
    text = "\n".join(lines).strip().removeprefix("error: ")
    return text.replace(backend.url, backend.shown)[:LONGEST_MESSAGE]
