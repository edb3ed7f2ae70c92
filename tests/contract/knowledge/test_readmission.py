"""A member of etcd whose disk is empty, told to a real etcd of three by permafrost-knowledge.

The control starts it as it was first started: etcd refuses that, and nothing would come back.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.contract.knowledge.etcd_bench import NAMES, Etcd, etcd_program
from tests.golden.ansible.programs import knowledge_program

ONE, TWO, THREE = NAMES
pytestmark = pytest.mark.soak


@pytest.fixture
def program(tmp_path: Path) -> ModuleType:
    return knowledge_program(tmp_path, ONE)


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def etcd(tmp_path: Path, program: ModuleType, request: pytest.FixtureRequest) -> Iterator[Etcd]:
    cluster = Etcd(etcd_program(tmp_path), tmp_path, encrypts=request.param)
    program.TRUST = program.trust(cluster.settings())
    with cluster.running_for_a_block():
        yield cluster


def empty(etcd: Etcd, name: str) -> None:
    etcd.kill(name)
    shutil.rmtree(etcd.folder / name)


def test_a_member_with_an_empty_disk_comes_back_as_a_new_one(
    etcd: Etcd, program: ModuleType
) -> None:
    told = etcd.settings()
    assert program.claim(told, "bergen-a")["owner"] == "bergen-a"
    assert program.claim(told, "bergen-b")["owner"] == "bergen-a"
    empty(etcd, THREE)
    assert etcd.start(THREE, "new").wait(30) != 0, "control: etcd takes it back as it was"
    del etcd.running[THREE]
    shutil.rmtree(etcd.folder / THREE, ignore_errors=True)
    first = program.readmit(told, THREE, etcd.peer(THREE))
    assert len(first["removed"]) == 1
    assert first["added"]
    # Cut off before it was started: a second time changes nothing.
    assert program.readmit(told, THREE, etcd.peer(THREE)) == {
        "schema": 1, "removed": [], "added": False,
    }  # fmt: skip
    etcd.start(THREE, "existing")
    etcd.await_leader(THREE)
    assert program.etcd(told)["answering"] == 3
    assert program.owner_at(etcd.url(THREE), "bergen") == "bergen-a"
    # It counts again: the cluster goes on without another one.
    etcd.kill(ONE)
    etcd.await_writing(THREE)
    assert program.claim(told, "bergen-b")["owner"] == "bergen-a"


def test_cut_off_after_it_left_it_is_expected_all_the_same(
    etcd: Etcd, program: ModuleType
) -> None:
    told = etcd.settings()
    empty(etcd, TWO)
    etcd.await_writing(ONE)  # it may have been the leader
    members = program.post(etcd.url(ONE) + "/v3/cluster/member/list", {})["members"]
    gone = next(m["ID"] for m in members if m["name"] == TWO)
    program.post(etcd.url(ONE) + "/v3/cluster/member/remove", {"ID": gone})
    assert program.readmit(told, TWO, etcd.peer(TWO)) == {
        "schema": 1, "removed": [], "added": True,
    }  # fmt: skip
    etcd.start(TWO, "existing")
    etcd.await_leader(TWO)
    assert program.etcd(told)["answering"] == 3


def test_without_a_majority_nobody_is_removed(etcd: Etcd, program: ModuleType) -> None:
    told = etcd.settings()
    empty(etcd, TWO)
    empty(etcd, THREE)
    program.READMIT_S = 3
    with pytest.raises(OSError, match=r"(?s)."):
        program.readmit(told, THREE, etcd.peer(THREE))
