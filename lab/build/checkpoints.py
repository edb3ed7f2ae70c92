"""The frozen checkpoints that the lab serves, each with its recorded fingerprint."""

from __future__ import annotations

from functools import partial

from lab.build.model import Build, Part
from lab.build.tools import project_python

_TIMEOUT_S = 900


def _build(build: Build, *, endpoint: str) -> None:
    build.run(
        [str(project_python()), "-m", "lab.checkpoints", endpoint, str(build.out)],
        cwd=build.checkout,
        timeout_s=_TIMEOUT_S,
    )


def _part(endpoint: str) -> Part:
    return Part(
        name=f"checkpoint-{endpoint}",
        summary=f"checkpoint of {endpoint} and its fingerprint",
        build=partial(_build, endpoint=endpoint),
        inputs=("lab/checkpoints", "model_registry", "lab/build/checkpoints.py"),
        sections=("engine", "checkpoints"),
        needs_gib=0.5,
    )


PARTS = (_part("chat"), _part("pulse"))
