"""``python3 -m lab.testrun check | lint | test | soak SHARD [ONLY] | bench | abandoned``."""

from __future__ import annotations

import argparse
import sys

from lab.front.instance import CHECKOUT, PROGRAMS, environment, instance_id
from lab.front.processes import Stopped, call, stop_on_signals
from lab.front.stages import Stages
from lab.testrun import ownlab
from lab.testrun.run import commit, reports_folder, test
from lab.testrun.soak import soak
from lab.testrun.steps import Step, check_steps, go_steps, lint_steps, run_steps
from lab.testrun.tally import Tally

_BENCH_TIMEOUT_S = 7200.0


def main() -> int:
    """Run what was asked for; return an exit status."""
    parser = argparse.ArgumentParser(prog="lab.testrun", description=main.__doc__)
    parser.add_argument("what", choices=["check", "lint", "test", "soak", "bench", "abandoned"])
    parser.add_argument("shard", nargs="?", default="1/1")
    parser.add_argument("only", nargs="?", default="")
    arguments = parser.parse_args()
    stop_on_signals()
    try:
        match arguments.what:
            case "check":
                return _steps(check_steps(reports_folder(), commit()))
            case "lint":
                return _steps([*lint_steps(), *go_steps("vet")])
            case "soak":
                return soak(arguments.shard, arguments.only)
            case "abandoned":
                ownlab.remove_abandoned(Stages())
                return 0
            case "bench":
                return _bench()
            case _:
                return test()
    except Stopped as stopped:
        sys.stderr.write(f"make {arguments.what}: {stopped}\n")
        return 1


def _steps(steps: list[Step]) -> int:
    stages, tally = Stages(), Tally()
    well = run_steps(steps, stages, tally)
    stages.say(tally.closing_line())
    return 0 if well else 1


def _bench() -> int:
    argv = [str(PROGRAMS / "python"), "-m", "tests.bench"]
    return call(argv, cwd=CHECKOUT, env=environment(instance_id()), timeout_s=_BENCH_TIMEOUT_S)


if __name__ == "__main__":
    sys.exit(main())
