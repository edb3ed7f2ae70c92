"""``python3 -m lab.front up``."""

from __future__ import annotations

import sys

from lab.front.processes import CommandFailed, Stopped, stop_on_signals
from lab.front.stages import Stages
from lab.front.up import up

_FAILED = 4


def main() -> int:
    """Run the parts, then print their times; return an exit status."""
    if sys.argv[1:] != ["up"]:
        sys.stderr.write("usage: python3 -m lab.front up\n")
        return 2
    stop_on_signals()
    stages = Stages()
    status = 0
    try:
        up(stages)
    except (CommandFailed, Stopped) as error:
        sys.stderr.write(f"make up: {error}\n")
        status = _FAILED
    stages.say(stages.table())
    return status


if __name__ == "__main__":
    sys.exit(main())
