"""Control groups as files: what is read from them and written to them."""

from pathlib import Path

import pytest

from lab.instance import cgroups
from lab.instance.cgroups import Cgroup

HYBRID = """\
cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
"""
PURE = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"


def test_both_kinds_of_tree_are_found(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(HYBRID)
    assert cgroups.unified_root(mounts) == Path("/sys/fs/cgroup/unified")
    assert cgroups.memory_root(mounts) == Path("/sys/fs/cgroup/memory")
    mounts.write_text(PURE)
    assert cgroups.unified_root(mounts) == Path("/sys/fs/cgroup")
    assert cgroups.memory_root(mounts) is None
    mounts.write_text("")
    with pytest.raises(OSError, match="cgroup v2"):
        cgroups.unified_root(mounts)


def test_populated_and_frozen_are_what_the_kernel_says(tmp_path: Path) -> None:
    group = Cgroup(tmp_path / "node")
    assert not group.populated, "a group that is not there holds nothing"
    group.create()
    events = group.path / "cgroup.events"
    events.write_text("populated 1\nfrozen 0\n")
    assert group.populated
    assert not group.frozen
    events.write_text("populated 0\nfrozen 1\n")
    assert not group.populated
    assert group.frozen


def test_processes_of_inner_groups_belong_to_the_group(tmp_path: Path) -> None:
    group = Cgroup(tmp_path / "node")
    inner = group.path / "payload" / "ssh.service"
    inner.mkdir(parents=True)
    (group.path / "cgroup.procs").write_text("10\n")
    (inner / "cgroup.procs").write_text("11\n12\n")
    assert sorted(group.processes()) == [10, 11, 12]


def test_killing_tells_when_something_survives(tmp_path: Path) -> None:
    group = Cgroup(tmp_path / "node")
    group.create()
    (group.path / "cgroup.events").write_text("populated 1\n")
    assert not group.kill(timeout_s=0.05)
    assert (group.path / "cgroup.kill").read_text() == "1"
    (group.path / "cgroup.events").write_text("populated 0\n")
    assert group.kill(timeout_s=0.05)


def test_starting_thaws_a_group_that_was_killed_frozen(tmp_path: Path) -> None:
    group = Cgroup(tmp_path / "node")
    group.create()
    group.freeze(on=True)
    assert (group.path / "cgroup.freeze").read_text() == "1"
    group.create()
    assert (group.path / "cgroup.freeze").read_text() == "0"


def test_pruning_keeps_the_group_itself(tmp_path: Path) -> None:
    group = Cgroup(tmp_path / "node")
    (group.path / "payload" / "deep").mkdir(parents=True)
    group.prune()
    assert list(group.path.iterdir()) == []
    assert group.remove()
    assert not group.path.exists()
    assert group.remove(), "removing what is gone is no failure"
