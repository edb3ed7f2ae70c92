"""Which instance of the lab this checkout means, and where its things lie."""

from __future__ import annotations

import os
from pathlib import Path

from lab.instance import naming

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAMS = CHECKOUT / ".venv" / "bin"


def instance_id() -> str:
    """Return the instance's id: ``PERMAFROST_LAB``, else derived from the checkout's path."""
    return naming.instance_id(CHECKOUT, os.environ.get("PERMAFROST_LAB"))


def instance_dir(identity: str) -> Path:
    """Return the folder of an instance."""
    return CHECKOUT / ".lab" / identity


def site_file(identity: str) -> Path:
    """Return the rendered site file of an instance."""
    return instance_dir(identity) / "site.yaml"


def environment(identity: str) -> dict[str, str]:
    """Return what the project's commands need to know to mean this instance."""
    return {"PERMAFROST_LAB": identity, "PERMAFROST_SITE": str(site_file(identity))}
