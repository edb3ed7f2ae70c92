"""The frozen checkpoints that the lab serves, each with its recorded fingerprint."""

from __future__ import annotations

from functools import partial

from lab.build.model import Build, Part
from lab.build.tools import project_python

_TIMEOUT_S = 900


def _build(build: Build, *, which: str) -> None:
    argv = [str(project_python()), "-m", "lab.checkpoints", which, str(build.out)]
    for folder in build.needs.values():
        argv += ["--parent", str(folder)]
    build.run(argv, cwd=build.checkout, timeout_s=_TIMEOUT_S)


def _part(
    which: str, summary: str, *, needs: tuple[str, ...] = (), needs_gib: float = 0.5
) -> Part:
    return Part(
        name=f"checkpoint-{which}",
        summary=f"{summary} and its fingerprint",
        build=partial(_build, which=which),
        inputs=("lab/checkpoints", "model_registry", "lab/build/checkpoints.py"),
        sections=("engine", "checkpoints"),
        needs=needs,
        needs_gib=needs_gib,
    )


PARTS = (_part("chat", "checkpoint of chat"), _part("pulse", "checkpoint of pulse"))
"""What the lab's endpoints serve from the beginning."""
ON_DEMAND = (
    _part("gemma", "a newer foundation model", needs_gib=1.5),
    _part("child", "a child of chat's checkpoint", needs=("checkpoint-chat",)),
)
"""What an endpoint may be given later: built when first asked for."""
