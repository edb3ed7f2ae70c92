"""Container images from a root filesystem: an OCI image layout, and the digest that pins it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.build.model import Build

_EMPTIED = ("dev", "var/lib/apt/lists", "var/cache", "var/log", "usr/share/doc")
_REMOVED = ("etc/hostname", "etc/resolv.conf", "etc/apt/sources.list")


@dataclass(frozen=True, slots=True)
class Image:
    """What an image says about itself beside its files."""

    tag: str
    version: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    workdir: str = "/"
    env: Mapping[str, str] = field(default_factory=dict)


def forget_identity(root: Path) -> None:
    """Remove from a Debian root filesystem what is the builder's, and what no server reads."""
    for folder in _EMPTIED:
        shutil.rmtree(root / folder)
        (root / folder).mkdir()
    for path in _REMOVED:
        (root / path).unlink(missing_ok=True)


def pack(build: Build, root: Path, image: Image) -> None:
    """Write ``oci`` (one layer) and ``digest`` of a root filesystem, which is then removed."""
    layout = build.out / "oci"
    name = f"{layout}:{image.tag}"
    build.run(["umoci", "init", "--layout", str(layout)])
    build.run(["umoci", "new", "--image", name])
    build.run(["umoci", "insert", "--image", name, str(root), "/"])
    argv = ["umoci", "config", "--image", name, "--os", "linux", "--architecture", "amd64"]
    argv += ["--config.workingdir", image.workdir]
    argv += ["--config.label", f"org.opencontainers.image.version={image.version}"]
    argv += _each("--config.entrypoint", image.entrypoint)
    argv += _each("--config.cmd", image.command)
    argv += _each("--config.env", (f"{key}={value}" for key, value in image.env.items()))
    build.run(argv)
    build.run(["umoci", "gc", "--layout", str(layout)])
    digest = build.output(["skopeo", "inspect", "--format", "{{.Digest}}", f"oci:{name}"])
    (build.out / "digest").write_text(digest.strip() + "\n", encoding="ascii")
    shutil.rmtree(root)


def _each(option: str, values: Iterable[str]) -> list[str]:
    return [word for value in values for word in (option, value)]
