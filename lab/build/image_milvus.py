"""The lab's Milvus image: the real server with all roles, from the Python package that carries it.

The contract of the vendor's image: everything below /milvus, ``milvus run ROLE`` as the command,
defaults in /milvus/configs/milvus.yaml, what a site sets beside it in user.yaml.
"""

from __future__ import annotations

import lzma
import re
import shutil
from functools import partial
from pathlib import Path

from lab.build import container, debian
from lab.build.model import Build, Part
from lab.build.tools import uv_command

_LOCK = "lab/build/milvus/requirements.lock"
_OLDER_LOCK = "lab/build/milvus/older.lock"
PYTHON = "3.11"
PACKAGES = ("ca-certificates", "tini")
_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}")


def with_defaults(template: str) -> str:
    """Return the package's settings template with each placeholder's default in its place.

    A placeholder is ``{{ name: default }}`` or ``{{ name(type): default }}``; one without a
    default is an empty text.
    """

    def default(match: re.Match[str]) -> str:
        _, colon, value = match[1].partition(":")
        return value.strip() if colon else '""'

    return _PLACEHOLDER.sub(default, template)


def _build(build: Build, *, section: str, lock: str) -> None:
    root = build.out / "rootfs"
    debian.root_filesystem(
        build,
        build.versions["debian"]["image"],
        root,
        variant="minbase",
        packages=PACKAGES,
        options=("--dpkgopt=path-exclude=/usr/share/zoneinfo/*",),
    )
    _server(build, root, lock)
    (root / "tini").symlink_to("usr/bin/tini")
    container.forget_identity(root)
    container.pack(
        build,
        root,
        container.Image(
            "milvus",
            build.versions[section]["milvus"],
            entrypoint=("/tini", "--"),
            workdir="/milvus",
            env={
                "PATH": "/milvus/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "LD_LIBRARY_PATH": "/milvus/lib",
                "MILVUSCONF": "/milvus/configs",
                "MALLOC_ARENA_MAX": "4",
            },
        ),
    )


def _server(build: Build, root: Path, lock: str) -> None:
    wheel = build.out / "wheel"
    build.run(
        [
            uv_command(),
            "pip",
            "install",
            "--no-deps",
            "--require-hashes",
            "--python-version",
            PYTHON,
            "--link-mode",
            "copy",
            "--target",
            str(wheel),
            "-r",
            str(build.checkout / lock),
        ]
    )
    home = root / "milvus"
    for folder in ("bin", "lib", "configs"):
        (home / folder).mkdir(parents=True)
    for packed in sorted((wheel / "milvus").rglob("*.lzma")):
        name = packed.name.removesuffix(".lzma")
        target = home / ("bin" if name == "milvus" else "lib") / name
        with lzma.open(packed) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink)
        target.chmod(0o755)
    data = wheel / "milvus" / "data"
    template = (data / "config.yaml.template").read_text(encoding="utf-8")
    (home / "configs" / "milvus.yaml").write_text(with_defaults(template), encoding="utf-8")
    shutil.copyfile(data / "glog.conf", home / "configs" / "glog.conf")
    shutil.rmtree(wheel)


_CODE = ("lab/build/image_milvus.py", "lab/build/container.py", "lab/build/debian.py")


def _part(name: str, summary: str, section: str, lock: str) -> Part:
    return Part(
        name=name,
        summary=summary,
        build=partial(_build, section=section, lock=lock),
        inputs=(lock, *_CODE),
        sections=("debian", section),
        needs_gib=1.5,
        on_demand=True,
    )


PART = _part("image-milvus", "Milvus container image", "knowledge", _LOCK)
OLDER = _part(
    "image-milvus_older",
    "container image of the Milvus before, which an upgrade is drilled from",
    "knowledge_older",
    _OLDER_LOCK,
)
