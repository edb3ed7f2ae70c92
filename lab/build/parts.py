"""All parts of the lab, their keys, and where each lies: ``path("base-image")``."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lab.build import (
    base_image,
    checkpoints,
    golang,
    image_etcd,
    image_kafka,
    image_milvus,
    image_minio,
    image_triton,
    packages,
    pulumi,
    vcenter,
)
from lab.build.cache import Cache, cache_root
from lab.build.inputs import load_versions, part_key
from lab.build.model import CHECKOUT, Build, Part
from lab.build.problem import BuildError

_log = logging.getLogger("lab.build")
_HEARTBEAT_S = 30.0

PARTS: dict[str, Part] = {
    part.name: part
    for part in (
        golang.PART,
        pulumi.PART,
        vcenter.PART,
        base_image.PART,
        packages.PART,
        image_triton.PART,
        *checkpoints.PARTS,
        *checkpoints.ON_DEMAND,
        image_etcd.PART,
        image_kafka.PART,
        image_minio.PART,
        image_milvus.PART,
        image_milvus.OLDER,
    )
}
ON_DEMAND = frozenset(
    {
        *(part.name for part in checkpoints.ON_DEMAND),
        *(p.name for p in PARTS.values() if p.on_demand),
    }
)
"""Parts that no lab needs to begin with."""
# Two lanes, one a core: the long Go builds, and everything else meanwhile.
LANES: tuple[tuple[str, ...], ...] = (
    ("go", "pulumi", "vcenter"),
    ("base-image", "packages", "image-triton", "checkpoint-pulse", "checkpoint-chat"),
)


@cache
def versions() -> Mapping[str, Mapping[str, Any]]:
    """Return the versions file."""
    return load_versions(CHECKOUT / "versions.toml")


@cache
def key(name: str) -> str:
    """Return the cache key of a part."""
    part = part_named(name)
    return part_key(
        CHECKOUT,
        name=name,
        files=part.inputs,
        sections={section: versions()[section] for section in part.sections},
        needs={need: key(need) for need in part.needs},
        facts=part.facts(versions()),
    )


def part_named(name: str) -> Part:
    """Return a part. Raises when there is none of that name."""
    if name not in PARTS:
        raise BuildError(
            "PART_UNKNOWN", f"there is no part {name!r}", f"one of {', '.join(PARTS)}"
        )
    return PARTS[name]


def path(name: str) -> Path:
    """Return the folder of a part, building it, and what it is made from, when missing."""
    part = part_named(name)
    cache = Cache(cache_root())
    if cache.has(name, key(name)):
        return cache.ensure(name, key(name), lambda _out, _log: None)
    needs = {need: path(need) for need in part.needs}
    started = time.monotonic()

    def build(out: Path, log: Path) -> None:
        _log.info("%-18s building: %s", name, part.summary)
        with _Heartbeat(name, log):
            part.build(Build(out, log, CHECKOUT, versions(), needs))

    found = cache.ensure(name, key(name), build, needs_gib=part.needs_gib)
    _log.info("%-18s built in %s", name, duration(time.monotonic() - started))
    return found


def missing(names: list[str]) -> list[str]:
    """Return which of the parts, and of what they are made from, are not in the cache."""
    cache = Cache(cache_root())
    wanted: dict[str, None] = {}
    for name in names:
        for each in (*part_named(name).needs, name):
            if not cache.has(each, key(each)):
                wanted.setdefault(each)
    return list(wanted)


def require_space(names: list[str]) -> None:
    """Refuse before anything is built when the disk cannot hold all that is missing."""
    needed = sum(part_named(name).needs_gib for name in names)
    if names:
        Cache(cache_root()).require_free(", ".join(names), needed)


def duration(seconds: float) -> str:
    """Return a time as people say it: 12 s, 3 m 05 s."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} m {whole % 60:02} s"


class _Heartbeat:
    """Says every half minute that a build goes on, and what it last said."""

    def __init__(self, name: str, log: Path) -> None:
        self._name = name
        self._log = log
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _beat(self) -> None:
        started = time.monotonic()
        while not self._done.wait(_HEARTBEAT_S):
            _log.info(
                "%-18s %s: %s",
                self._name,
                duration(time.monotonic() - started),
                _last_line(self._log),
            )


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 400))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip()[:70] for line in reversed(lines) if line.strip()), "")
