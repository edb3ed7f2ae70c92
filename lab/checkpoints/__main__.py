"""``python -m lab.checkpoints WHICH OUT``: build one checkpoint of the lab below OUT."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lab.checkpoints.build import SOURCES, build
from lab.errors import LabError
from model_registry.errors import RegistryError

_FAILED = 4


def main() -> int:
    """Build and print the checkpoint's id; return an exit status."""
    parser = argparse.ArgumentParser(prog="lab.checkpoints", description=__doc__)
    parser.add_argument("which", choices=sorted(SOURCES))
    parser.add_argument("out", type=Path)
    parser.add_argument("--parent", type=Path, help="built folder of what it is made from")
    arguments = parser.parse_args()
    try:
        digest = build(arguments.which, arguments.out, arguments.parent)
    except (LabError, RegistryError) as error:
        sys.stderr.write(f"{error}\n")
        return _FAILED
    sys.stdout.write(f"{digest}\n")
    return 0


sys.exit(main())
