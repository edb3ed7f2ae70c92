"""The lab's vCenter: a Go program on govmomi's simulator."""

from __future__ import annotations

from lab.build import golang
from lab.build.model import Build, Part


def _build(build: Build) -> None:
    (build.out / "bin").mkdir()
    build.run(
        [
            golang.go_command(build.needs["go"]),
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
            "-s -w",
            "-o",
            str(build.out / "bin" / "labvcenter"),
            "./cmd/labvcenter",
        ],
        cwd=build.checkout / "lab" / "vcenter",
        env=golang.build_env(),
    )


PART = Part(
    name="vcenter",
    summary="the lab's vCenter",
    build=_build,
    inputs=("lab/vcenter", "lab/build/vcenter.py"),
    sections=("vcenter",),
    needs=("go",),
    needs_gib=1.5,
)
