"""A ``pulumi`` that failed, as one of our errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from permafrost.errors import Failed, Held, PermafrostError, Problem, Refused

if TYPE_CHECKING:
    from permafrost.adapters.pulumi_stack.changes import EventLog
    from permafrost.adapters.pulumi_stack.command import Finished

CODE = re.compile(r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+): (.+)")
HELD = frozenset({"SITE_HELD", "LOCK_LOST", "PULUMI_STACK_LOCKED"})
LONGEST_MESSAGE = 2000
ECHO = "an unhandled error occurred: Program exited with non-zero exit code"
"""What the engine adds when the program has already said what is wrong."""
GO_ON = "mend what it says, then `permafrost resume`; `permafrost plan` shows what is left"


def translate(command: str, finished: Finished, events: EventLog | None) -> PermafrostError:
    """Return the error that says what ``pulumi`` said."""
    if finished.timed_out:
        return Failed(
            Problem(
                "PULUMI_DEADLINE",
                f"`pulumi {command}` did not end in time and was stopped",
                hint="run the command again: it goes on from what was done",
            )
        )
    texts = events.errors if events is not None and events.errors else [finished.stderr.strip()]
    said = [text for text in texts if text and not text.startswith(ECHO)] or texts
    problems = tuple(dict.fromkeys(_problem(command, text) for text in said if text))
    if not problems:
        said_nothing = f"`pulumi {command}` exited {finished.status}"
        problems = (Problem("PULUMI_FAILED", said_nothing, hint=GO_ON),)
    if any(p.code in HELD for p in problems):
        return Held(*problems)
    ours = all(p.code != "PULUMI_FAILED" for p in problems)
    if ours and events is not None and not events.has_begun:
        return Refused(*problems)
    return Failed(*problems)


def _problem(command: str, text: str) -> Problem:
    if "the stack is currently locked by" in text:
        return Problem(
            "PULUMI_STACK_LOCKED",
            text[:LONGEST_MESSAGE],
            hint="another `pulumi` works on this site; wait until it has ended",
        )
    found = CODE.search(text)
    if found is None:
        said = f"`pulumi {command}`: {text[:LONGEST_MESSAGE]}"
        return Problem("PULUMI_FAILED", said, hint=GO_ON)
    path, _, message = found[2].partition(": ")
    if not message or " " in path:
        # A path in the site file, or a node, is one word; this is the message itself.
        path, message = "", found[2]
    return Problem(found[1], message, path=path, hint=_hint(text, found.end()))


def _hint(text: str, end: int) -> str:
    """Return the indented line under a problem, as ``Problem.__str__`` writes it."""
    rest = text[end:].splitlines()
    return rest[1].strip() if len(rest) > 1 and rest[1].startswith("    ") else GO_ON
