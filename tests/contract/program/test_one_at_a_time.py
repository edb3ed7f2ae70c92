"""Another template, in the engine: each replica is drained, replaced and admitted in its turn."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from lab.provider.vsphere import vim
from tests.contract.program.conftest import Program
from tests.contract.program.standing import EVENTS, HURRIES, MAIN
from tests.contract.program.test_marks import in_racks
from tests.contract.vsphere.person import Person

REPLICAS, EDGES = ("lab-chat-01", "lab-chat-02"), ("lab-edge-01", "lab-edge-02")
OF_REPLICA = ["drained", "shutdown", "destroy", "on", "admitted"]
OF_EDGE = ["shutdown", "destroy", "on", "admitted"]
Up = Callable[..., list[tuple[str, str]]]


@pytest.fixture
def up(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Up:
    """Return a function that types ``up`` and gives what happened: (verb, node), in order."""
    folder, events = tmp_path / "standing", program.vcenter.events_file
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: permafrost\nruntime: python\n")
    (folder / "__main__.py").write_text(MAIN)
    monkeypatch.setenv(EVENTS, str(events))
    program.rewrite(in_racks)

    def run(*options: str) -> list[tuple[str, str]]:
        before = len(events.read_text().splitlines())
        done = program.pulumi("up", "--yes", "--skip-preview", *options, folder=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        lines = events.read_text().splitlines()[before:]
        return [(verb, name) for verb, name in map(str.split, lines)]

    return run


def another_template(program: Program) -> None:
    """Clone the template; the site file names the clone."""
    person = Person(program.vcenter, program.loaded.site, "esx-{}")
    old = person.find(vim.VirtualMachine, "template-linux")
    pool = person.find(vim.ClusterComputeResource, "DC0_C0").resourcePool
    spec = vim.vm.CloneSpec(location=vim.vm.RelocateSpec(pool=pool), template=True, powerOn=False)
    person._op.wait(old.CloneVM_Task(old.parent, "template-two", spec))

    def named(values: dict[str, Any]) -> None:
        values["vcenter"]["template"] = "template-two"

    program.rewrite(named)


def of(name: str, seen: list[tuple[str, str]]) -> list[str]:
    """Return what happened to one node."""
    return [verb for verb, who in seen if who == name]


def turns(seen: list[tuple[str, str]], among: tuple[str, ...]) -> list[str]:
    """Return whose turn it was, one after the other."""
    return [name for name, _ in groupby(who for _, who in seen if who in among)]


@pytest.mark.soak
def test_replicas_and_edges_are_replaced_one_after_the_other(program: Program, up: Up) -> None:
    up()
    another_template(program)
    seen = up()
    assert {n: of(n, seen) for n in REPLICAS} == dict.fromkeys(REPLICAS, OF_REPLICA), seen
    assert {n: of(n, seen) for n in EDGES} == dict.fromkeys(EDGES, OF_EDGE), seen
    assert turns(seen, EDGES) == list(EDGES)
    assert sorted(turns(seen, REPLICAS)) == list(REPLICAS), "each in one piece, admitted in it"
    last_edge = seen.index(("admitted", EDGES[-1]))
    first_replica = min(seen.index(("drained", n)) for n in REPLICAS)
    assert last_edge < first_replica, "a drain tells edges: they are whole before it"
    assert up() == [], "nothing is left to do"


@pytest.mark.soak
def test_replicas_alone_are_replaced_where_the_others_wait(program: Program, up: Up) -> None:
    up()
    another_template(program)
    targets = [f"--target=**virtualMachine:VirtualMachine::{name}" for name in REPLICAS]
    seen = up(*targets, "--target-dependents")
    assert {n: of(n, seen) for n in REPLICAS} == dict.fromkeys(REPLICAS, OF_REPLICA), seen
    assert sorted(turns(seen, REPLICAS)) == list(REPLICAS)
    assert {who for _, who in seen} == set(REPLICAS)
    rest = up()
    assert {n: of(n, rest) for n in EDGES} == dict.fromkeys(EDGES, OF_EDGE), rest
    assert {who for _, who in rest} == set(EDGES)
    assert up() == [], "nothing is left to do"


@pytest.mark.soak
def test_control_without_turns_they_go_together(
    program: Program, up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    up()
    another_template(program)
    monkeypatch.setenv(HURRIES, "yes")
    seen = up()
    assert {n: of(n, seen) for n in REPLICAS} == dict.fromkeys(REPLICAS, OF_REPLICA), seen
    assert len(turns(seen, REPLICAS)) > len(REPLICAS), seen
