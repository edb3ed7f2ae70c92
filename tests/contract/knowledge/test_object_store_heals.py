"""A node of the object store whose drives were replaced: seen to be filled, then to be whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.instance.waiting import wait_until
from tests.contract.knowledge.images import program_of
from tests.contract.knowledge.minio_bench import NAMES, Minio, whole
from tests.golden.ansible.programs import knowledge_program

pytestmark = pytest.mark.soak
NODE = NAMES[1]
FILLED_S = 120.0
"""It looks for new drives every few seconds, and fills one after the other."""


@pytest.fixture
def minio(tmp_path: Path) -> Iterator[Minio]:
    program = program_of("image-minio", "usr/bin/minio", tmp_path / "minio")
    with whole(program, tmp_path / "cluster") as cluster:
        yield cluster


def test_replaced_drives_are_being_filled_and_then_are_not(minio: Minio, tmp_path: Path) -> None:
    command = knowledge_program(tmp_path, "narvik-knowledge-01")
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "minio").symlink_to(minio.folder / "data" / str(minio.ports[NODE]))
    settings = {"data": str(disk)}
    marks = [disk / "minio" / d / ".minio.sys/buckets/.healing.bin" for d in ("d1", "d2")]
    assert command.healing(settings) == 0
    minio.stop([NODE])
    for drive in ("d1", "d2"):
        shutil.rmtree(disk / "minio" / drive)
    minio.start([NODE])
    seen: set[int] = set()

    def is_filled() -> bool:
        there = all(mark.exists() for mark in marks)
        seen.add(int(command.healing(settings)))
        return there and command.healing(settings) == 0

    assert wait_until(is_filled, FILLED_S, 0.02)
    assert 2 in seen, "the control: while it was filled it was said"
