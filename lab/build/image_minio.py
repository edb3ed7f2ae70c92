"""The lab's object store: MinIO from its Go module, alone in an image.

The contract of the vendor's image: ``/usr/bin/minio``, configured by MINIO_CONFIG_ENV_FILE.
"""

from __future__ import annotations

from lab.build import container, golang
from lab.build.model import Build, Part

_MODULE = "lab/build/minio"
_PACKAGE = "github.com/minio/minio"


def _build(build: Build) -> None:
    root = build.out / "rootfs"
    for folder in ("usr/bin", "etc", "tmp"):
        (root / folder).mkdir(parents=True)
    build.run(
        [
            golang.go_command(build.needs["go"]),
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-tags",
            "kqueue",
            "-ldflags",
            "-s -w",
            "-o",
            str(root / "usr" / "bin" / "minio"),
            _PACKAGE,
        ],
        cwd=build.checkout / _MODULE,
        env=golang.build_env(),
    )
    version = build.versions["knowledge"]["minio"]
    container.pack(
        build,
        root,
        container.Image(
            "minio", version, entrypoint=("/usr/bin/minio",), env={"PATH": "/usr/bin"}
        ),
    )


PART = Part(
    name="image-minio",
    summary="MinIO container image",
    build=_build,
    inputs=(_MODULE, "lab/build/image_minio.py", "lab/build/container.py"),
    sections=("knowledge",),
    needs=("go",),
    needs_gib=1.5,
    on_demand=True,
)
