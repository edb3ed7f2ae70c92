"""``python3 -m lab.front up [--like FILE]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lab.front.processes import CommandFailed, Stopped, stop_on_signals
from lab.front.stages import Stages
from lab.front.up import up
from lab.instance.template import STANDARD, text_of
from permafrost.errors import ExitStatus, PermafrostError


def main() -> int:
    """Run the parts, then print their times; return an exit status."""
    parser = argparse.ArgumentParser(prog="lab.front", description=main.__doc__)
    parser.add_argument("what", choices=["up"])
    parser.add_argument(
        "--like", type=Path, default=STANDARD, help="site file with placeholders, of sites/"
    )
    like = parser.parse_args().like.absolute()
    try:
        text_of(like)
    except PermafrostError as error:
        kinds = ", ".join(f"sites/{path.name}" for path in sorted(STANDARD.parent.glob("lab*")))
        sys.stderr.write(f"make up: {error}; those of labs are {kinds}\n")
        return ExitStatus.USAGE
    stop_on_signals()
    stages = Stages()
    status = ExitStatus.DONE
    try:
        up(stages, like)
    except (CommandFailed, Stopped) as error:
        sys.stderr.write(f"make up: {error}\n")
        status = ExitStatus.FAILED
    stages.say(stages.table())
    return status


if __name__ == "__main__":
    sys.exit(main())
