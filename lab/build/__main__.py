"""``python3 -m lab.build [PART…]``: build what is missing; print where each part lies."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from lab.build import parts
from lab.build.problem import BuildError

_FAILED = 4


def main() -> int:
    """Build the parts that were named, or all; return an exit status."""
    parser = argparse.ArgumentParser(prog="lab.build", description=main.__doc__)
    parser.add_argument("part", nargs="*", help="parts to build (default: what every lab needs)")
    parser.add_argument("--with", dest="more", action="append", default=[], help="one more part")
    parser.add_argument("--quiet", action="store_true", help="do not print where the parts lie")
    parser.add_argument("--list", action="store_true", help="only say which parts are there")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        names = arguments.part or [n for n in parts.PARTS if n not in parts.ON_DEMAND]
        names += [name for name in arguments.more if name not in names]
        missing = set(parts.missing(names))
        if arguments.list:
            for name in names:
                sys.stdout.write(f"{name:18} {'missing' if name in missing else 'there'}\n")
            return 0
        found = _build(names, sorted(missing))
        if not arguments.quiet:
            sys.stdout.writelines(f"{name} {found[name]}\n" for name in names)
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return _FAILED
    return 0


def _build(names: list[str], missing: list[str]) -> dict[str, str]:
    started = time.monotonic()
    parts.require_space(missing)
    lanes = [[name for name in lane if name in names] for lane in parts.LANES]
    lanes.append([name for name in names if name in parts.ON_DEMAND])
    with ThreadPoolExecutor(len(lanes)) as pool:
        done = [pool.submit(_lane, lane) for lane in lanes]
    # Every lane ends before the first failure is told: one failure must not hide another's work.
    found = {name: path for lane in done for name, path in lane.result().items()}
    took = parts.duration(time.monotonic() - started)
    logging.info("%s; %s", f"built {len(missing)} parts" if missing else "nothing to build", took)
    return found


def _lane(names: list[str]) -> dict[str, str]:
    return {name: str(parts.path(name)) for name in names}


if __name__ == "__main__":
    sys.exit(main())
