"""The lab's Kafka image: the broker's jars from Maven Central, each with its SHA-256.

The contract of the vendor's image: it starts with ``/etc/kafka/docker/run``, takes its settings
from ``/mnt/shared/config/server.properties`` and CLUSTER_ID, and formats an empty disk itself.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from lab.build import container, debian
from lab.build.model import Build, Part
from lab.build.problem import BuildError

_ASSETS = "lab/build/kafka"
PACKAGES = ("openjdk-17-jre-headless",)


def parse_lock(text: str) -> dict[str, str]:
    """Return file name -> SHA-256 of each line of a lock file."""
    rows = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return {name: digest for digest, name in rows}


def differences(folder: Path, wanted: dict[str, str]) -> list[str]:
    """Return what is wrong with a folder of jars: missing, not asked for, or other bytes."""
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*")}

    def why(name: str) -> str:
        if name not in found:
            return "missing"
        return "differs" if name in wanted else "unknown"

    return [
        f"{name}: {why(name)}"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    ]


def _build(build: Build) -> None:
    assets = build.checkout / _ASSETS
    jars = build.out / "jars"
    _fetch(build, assets / "pom.xml", jars)
    if wrong := differences(jars, parse_lock((assets / "jars.lock").read_text())):
        raise BuildError(
            "KAFKA_JARS_DIFFER",
            "; ".join(wrong[:5]),
            "lab/build/kafka/jars.lock says which bytes they must have",
        )
    root = build.out / "rootfs"
    debian.root_filesystem(
        build,
        build.versions["debian"]["image"],
        root,
        variant="minbase",
        packages=PACKAGES,
        options=(
            "--dpkgopt=path-exclude=/usr/share/zoneinfo/*",
            # Java's alternatives link manual pages, which are left out, and fail without a folder.
            '--essential-hook=mkdir -p "$1/usr/share/man/man1"',
        ),
    )
    shutil.move(jars, root / "opt" / "kafka" / "libs")
    for source, target in (
        ("run.sh", "etc/kafka/docker/run"),
        ("log4j.properties", "opt/kafka/config/log4j.properties"),
    ):
        path = root / target
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(assets / source, path)
        path.chmod(0o755 if source.endswith(".sh") else 0o644)
    container.forget_identity(root)
    image = container.Image(
        "kafka", build.versions["knowledge"]["kafka"], command=("/etc/kafka/docker/run",)
    )
    container.pack(build, root, image)


def _fetch(build: Build, pom: Path, target: Path) -> None:
    if shutil.which("mvn") is None:
        raise BuildError(
            "MAVEN_MISSING",
            "Kafka comes from Maven Central, and Maven is not installed",
            "apt-get install --no-install-recommends maven",
        )
    build.run(
        [
            "mvn",
            "--batch-mode",
            "--quiet",
            f"--file={pom}",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            f"-DoutputDirectory={target}",
        ]
    )


PART = Part(
    name="image-kafka",
    summary="Kafka container image",
    build=_build,
    inputs=(
        _ASSETS,
        "lab/build/image_kafka.py",
        "lab/build/container.py",
        "lab/build/debian.py",
    ),
    sections=("debian", "knowledge"),
    needs_gib=1.2,
    on_demand=True,
)
