"""The deployed lab that a bench runs on: which it is, and a way through a machine's walls."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.faults import targets
from lab.hypervisor.machine import Machine
from lab.instance.model import default_root, load


@contextmanager
def let_in(name: str, address: object) -> Iterator[None]:
    """Let this computer ask a machine itself, which its walls keep for the edges."""
    machine = Machine(load(default_root()), name)
    element = ("element", "inet", "permafrost_walls", "edges", f"{{ {address} }}")
    targets.inside(machine, "nft", "add", *element)
    try:
        yield
    finally:
        targets.inside(machine, "nft", "delete", *element)


def named_site() -> Path:
    """Return the site file that PERMAFROST_SITE names; the lab that it lies in is the one meant.

    Ends the program with a sentence where none is named.
    """
    name = os.environ.get("PERMAFROST_SITE")
    if not name:
        sys.exit("PERMAFROST_SITE names no site file: this runs on a deployed lab")
    site = Path(name).resolve()
    os.environ.setdefault("PERMAFROST_LAB", site.parent.name)
    return site
