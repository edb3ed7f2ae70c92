"""What arrived of a blob is kept for the next one who completes it, unless it is wrong."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from model_registry import digests
from model_registry.errors import RegistryError
from model_registry.layout import OciLayout

CONTENT = b"all of it"
DIGEST = digests.of_bytes(CONTENT)


@pytest.fixture
def layout(tmp_path: Path) -> OciLayout:
    return OciLayout.create(tmp_path / "oci")


def test_a_part_is_kept_and_completed(layout: OciLayout) -> None:
    def cut(file: BinaryIO) -> None:
        file.write(CONTENT[:4])
        raise RegistryError("REGISTRY_UNREACHABLE", "gone")

    def rest(file: BinaryIO) -> None:
        file.write(CONTENT[file.seek(0, 2) :])

    with pytest.raises(RegistryError, match="REGISTRY_UNREACHABLE"):
        layout.receive(DIGEST, cut)
    assert layout.stored() == frozenset()
    layout.receive(DIGEST, rest)
    assert layout.read(DIGEST) == CONTENT
    assert layout.remove_parts() == 0


def test_wrong_bytes_are_not_kept(layout: OciLayout) -> None:
    def wrong(file: BinaryIO) -> None:
        file.write(b"other")
        raise RegistryError("DIGEST_MISMATCH", "other")

    with pytest.raises(RegistryError, match="DIGEST_MISMATCH"):
        layout.receive(DIGEST, wrong)
    assert layout.stored() == frozenset()
    assert layout.remove_parts() == 0


def test_of_two_at_once_one_moves_it(layout: OciLayout) -> None:
    begun, go_on, moved = threading.Event(), threading.Event(), []

    def slow(file: BinaryIO) -> None:
        begun.set()
        assert go_on.wait(10)
        file.write(CONTENT)
        moved.append("one")

    def never(_: BinaryIO) -> None:
        moved.append("other")

    one = threading.Thread(target=layout.receive, args=(DIGEST, slow))
    one.start()
    assert begun.wait(10)
    other = threading.Thread(target=layout.receive, args=(DIGEST, never))
    other.start()
    go_on.set()
    one.join()
    other.join()
    assert (moved, layout.read(DIGEST)) == (["one"], CONTENT)
    assert layout.remove_parts() == 0


def test_a_full_disk_is_told(layout: OciLayout) -> None:
    def full(_: BinaryIO) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(RegistryError, match="DISK_FULL"):
        layout.receive(DIGEST, full)
    assert layout.stored() == frozenset()


def test_holes_stay_holes(layout: OciLayout, tmp_path: Path) -> None:
    source = tmp_path / "sparse"
    with source.open("wb") as file:
        file.write(b"head")
        file.truncate(64 << 20)
    digest = layout.add_file(source)
    stored = layout.blob_path(digest)
    assert stored.stat().st_size == 64 << 20
    assert digests.of_file(stored) == digest
    assert stored.stat().st_blocks * 512 < 8 << 20
