"""One light lab for the tests of machines, faults and agreement."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lab.faults import apply as faults
from lab.hypervisor.machine import Machine
from lab.instance.model import CHECKOUT
from lab.testrun.ownlab import owned
from tests.contract.lab import wire
from tests.contract.lab.bench import Bench, clean, until

HOSTS = ("lab-esx-01", "lab-esx-02", "lab-esx-03")


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    """A light lab of its own; whatever happens nothing of it is left."""
    root = CHECKOUT / ".lab" / f"b{os.getpid() % 0xFFFFF:05x}"
    with owned(root.name):
        try:
            yield Bench.start(root)
        finally:
            clean(root)


@pytest.fixture(scope="session")
def pair(bench: Bench) -> tuple[Machine, Machine]:
    """Two machines on two hosts, which vSphere HA leaves alone: the tests switch them on."""
    bench.set_ha(enabled=False)
    return bench.make("lab-a", HOSTS[0]), bench.make("lab-b", HOSTS[1])


@pytest.fixture
def healed(bench: Bench, pair: tuple[Machine, Machine]) -> Iterator[Bench]:
    """The lab with two machines that are on; afterwards every fault is healed."""
    bench.instance.faults_file.touch()  # also before the first fault
    faults.heal(bench.instance, "all")
    for node in pair:
        bench.power_on(node.name)
    yield bench
    faults.heal(bench.instance, "all")


@pytest.fixture
def echo(healed: Bench) -> Bench:
    """The lab, ``lab-a`` with an echo service that ``lab-b`` reaches."""
    wire.serve(healed, "lab-a")
    until("lab-b reaches it", lambda: wire.reaches(healed, "lab-b", "lab-a"))
    return healed
