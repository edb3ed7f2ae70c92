"""Die on purpose, for tests: ``PERMAFROST_CRASH_AT=<command>:<step>:<before|after>``.

``before``: the intent is journalled and the effect has not begun. ``after``: the effect is made
and its evidence is not journalled yet. ``<step>`` is a step's number or its kind; of a kind that
occurs several times the first is meant.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from permafrost.planning.steps import OperationStep

VARIABLE = "PERMAFROST_CRASH_AT"
CrashPoint = Callable[[str, OperationStep, str], None]
"""Called with the command's name, the step and ``before`` or ``after``."""


def crash_of_environment(command: str, step: OperationStep, moment: str) -> None:
    """Kill this process (SIGKILL) where the environment says so."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    name, _, rest = wanted.partition(":")
    at, _, when = rest.partition(":")
    if name == command.replace(" ", "-") and at in (step.id, step.kind) and when == moment:
        os.kill(os.getpid(), signal.SIGKILL)
