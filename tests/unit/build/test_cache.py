"""The build cache: whole or absent, built once, cleaned by whoever comes next."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from lab.build.cache import KEPT, Cache, cache_root
from lab.build.problem import BuildError

GIB = 1024**3
FORK = multiprocessing.get_context("fork")


def write(out: Path, _log: Path) -> None:
    (out / "file").write_text("whole")


def forbidden(_out: Path, _log: Path) -> None:
    raise AssertionError("built again")


def test_a_part_is_built_once_and_then_found(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert not cache.has("part", "key")
    entry = cache.ensure("part", "key", write)
    assert entry == tmp_path / "part" / "key"
    assert (entry / "file").read_text() == "whole"
    assert cache.ensure("part", "key", forbidden) == entry


def test_a_failed_build_leaves_nothing_but_its_log(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def fail(out: Path, log: Path) -> None:
        (out / "half").write_text("half")
        log.write_text("why")
        raise BuildError("COMMAND_FAILED", "no")

    with pytest.raises(BuildError, match="COMMAND_FAILED"):
        cache.ensure("part", "key", fail)
    assert not cache.has("part", "key")
    assert [p.name for p in (tmp_path / "part").iterdir() if p.is_dir()] == []
    assert cache.log("part").read_text() == "why"
    assert (cache.ensure("part", "key", write) / "file").exists()


def test_a_killed_builder_leaves_no_entry_and_the_next_one_removes_its_folder(
    tmp_path: Path,
) -> None:
    started = FORK.Event()

    def hang(out: Path, _log: Path) -> None:
        (out / "half").write_text("half")
        started.set()
        time.sleep(60)

    builder = FORK.Process(target=lambda: Cache(tmp_path).ensure("part", "key", hang))
    builder.start()
    assert started.wait(10)
    assert builder.pid is not None
    os.kill(builder.pid, signal.SIGKILL)
    builder.join(10)
    cache = Cache(tmp_path)
    assert not cache.has("part", "key")
    assert len(list((tmp_path / "part").glob(".building-*"))) == 1
    entry = cache.ensure("part", "key", write)
    assert sorted(p.name for p in entry.iterdir()) == ["file"]
    assert list((tmp_path / "part").glob(".building-*")) == []


def test_builders_of_one_part_wait_for_each_other_and_build_once(tmp_path: Path) -> None:
    built = FORK.Value("i", 0)
    ready = FORK.Barrier(4)

    def count(out: Path, _log: Path) -> None:
        with built.get_lock():
            built.value += 1
        time.sleep(0.2)  # long enough that every other builder is at the lock
        (out / "file").write_text("whole")

    def builder() -> None:
        ready.wait(10)
        entry = Cache(tmp_path).ensure("part", "key", count)
        assert (entry / "file").read_text() == "whole"

    builders = [FORK.Process(target=builder) for _ in range(4)]
    for each in builders:
        each.start()
    for each in builders:
        each.join(20)
    assert [each.exitcode for each in builders] == [0, 0, 0, 0]
    assert built.value == 1


def test_the_last_two_used_are_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for age, key in enumerate(["a", "b", "c"]):
        entry = cache.ensure("part", key, write)
        os.utime(entry, (1000 + age, 1000 + age))
        if key == "b":
            cache.ensure("part", "a", forbidden)  # used again: now younger than b
            os.utime(cache.entry("part", "a"), (2000, 2000))
    left = sorted(p.name for p in (tmp_path / "part").iterdir() if p.is_dir())
    assert left == ["a", "c"]
    assert len(left) == KEPT


def test_what_a_running_machine_uses_is_kept(tmp_path: Path) -> None:
    used = tmp_path / "part" / "a"
    cache = Cache(tmp_path, mounts=lambda: f"overlay rw,lowerdir={used}/rootfs,upperdir=/x")
    for age, key in enumerate(["a", "b", "c", "d"]):
        os.utime(cache.ensure("part", key, write), (1000 + age, 1000 + age))
    left = sorted(p.name for p in (tmp_path / "part").iterdir() if p.is_dir())
    assert left == ["a", "c", "d"]


def test_too_little_disk_is_said_before_anything_is_built(tmp_path: Path) -> None:
    cache = Cache(tmp_path, free_bytes=lambda _path: 2 * GIB)
    with pytest.raises(BuildError) as caught:
        cache.ensure("image", "key", forbidden, needs_gib=5.0)
    assert caught.value.code == "DISK_SHORT"
    assert "6.0 GiB" in str(caught.value)
    assert "2.0 are free" in str(caught.value)
    assert "PERMAFROST_CACHE" in str(caught.value)
    assert (cache.ensure("image", "key", write, needs_gib=0.5) / "file").exists()


def test_what_is_there_needs_no_disk(tmp_path: Path) -> None:
    Cache(tmp_path).ensure("part", "key", write)
    full = Cache(tmp_path, free_bytes=lambda _path: 0)
    assert full.ensure("part", "key", forbidden, needs_gib=5.0).is_dir()


def test_the_folder_is_the_environments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERMAFROST_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    monkeypatch.delenv("PERMAFROST_CACHE")
    assert cache_root() == Path("/var/cache/permafrost")
