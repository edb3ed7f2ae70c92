"""Whatever happens to a site, vCenter's view and the running machines agree afterwards.

Two sequences, chosen by the commit, in ``make test``; two hundred in soak, two a test, each
test its own seed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from lab.hypervisor import power
from lab.hypervisor.machine import Machine, Spec
from lab.instance.waiting import wait_until
from tests.contract.lab.bench import Bench
from tests.contract.lab.sequences import (
    HOSTS,
    NODES,
    NSPAWN,
    SERVERS,
    Do,
    World,
    sequences,
    supervisors,
)

TESTS, EACH = 100, 2
EFFECTIVE = 4
"""Steps a sequence that must have taken effect: one in which hardly anything happened, because
nearly all was refused, would say nothing."""
OPTIONS = {
    "deadline": None,
    "database": None,
    # A sequence is told by its seed; to shrink one takes longer than to read it.
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
}


@pytest.fixture(scope="module")
def world(bench: Bench) -> World:
    bench.set_ha(enabled=True)
    made = World(bench)
    made.make()
    return made


def _run(world: World, number: int, examples: int) -> None:
    @seed(number)
    # The first example is always the simplest, which says little: one more.
    @settings(max_examples=examples + 1, **OPTIONS)
    @given(sequences)
    def agree(sequence: list[Do]) -> None:
        world.begin()
        for step in sequence:
            world.do(step)
        assert world.settle() == "", sequence

    world.done.clear()
    world.refused.clear()
    agree()
    assert len(world.done) > EACH * EFFECTIVE, (world.done, world.refused)


@pytest.mark.exhaustive(1)
@pytest.mark.parametrize("number", range(TESTS))
def test_sequences_end_in_agreement(world: World, number: int) -> None:
    _run(world, number, EACH)


@pytest.mark.parametrize(
    "server", ["vcenter", *(pytest.param(s, marks=pytest.mark.soak) for s in SERVERS[1:])]
)
def test_a_server_killed_while_machines_change_finds_them_again(world: World, server: str) -> None:
    world.begin()
    changed = world.bench.vm(NODES[0])
    changed.ResetVM_Task()
    world.bench.instance.service_group(server).kill()
    world.do(Do("machine-kill", NODES[1]))
    world.back(server)
    assert world.settle() == ""
    assert wait_until(lambda: world.bench.vm(NODES[1]).runtime.powerState == "poweredOff", 30), (
        "what happened meanwhile is seen"
    )
    world.do(Do("on", NODES[1]))
    assert world.settle() == ""
    assert world.bench.views()[1][NODES[1]] == "on"


def test_control_a_machine_that_vcenter_does_not_know_is_a_difference(world: World) -> None:
    """The comparison that every sequence ends with must see it."""
    assert world.settle() == ""
    stray = Machine(world.bench.instance, "lab-stray")
    spec = Spec("42000000-0000-4000-8000-00000000000f", "00:50:56:00:02:0f", HOSTS[0], 256)
    power.start(stray, spec)
    try:
        assert not world.bench.agree(2)
        assert world.bench.views()[1][stray.name] == "stray"
    finally:
        power.destroy(stray)
    assert world.settle() == ""


def test_control_two_supervisors_are_two_machines_and_a_forked_one_is_not(tmp_path: Path) -> None:
    """While nspawn sets up a guest its children bear its name: those are not a second machine."""
    program = tmp_path / NSPAWN
    shutil.copy("/bin/sh", program)
    argv = [str(program), "-c", "( while :; do sleep 1; done ) & echo $!; wait"]
    started: list[tuple[subprocess.Popen[str], int]] = []
    try:
        for _ in range(2):
            one = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
            assert one.stdout is not None
            started.append((one, int(one.stdout.readline())))
        (first, child), (second, _) = started
        assert supervisors([first.pid, child]) == [first.pid]
        assert supervisors([first.pid, second.pid]) == [first.pid, second.pid]
    finally:
        for one, child in started:
            os.kill(child, signal.SIGKILL)
            one.kill()
            one.wait(10)
