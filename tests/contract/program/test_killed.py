"""A typed `pulumi up` killed (-9) at ten moments, then repaired and run again; two at once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.provider.vsphere import vim
from lab.services.admin import back_vcenter, slow_vcenter
from permafrost.adapters.pulumi_stack.environment import CHECKOUT, stack_environment
from permafrost.engine.state import DeclaredState
from permafrost.errors import Held
from permafrost.planning.drift import find_drift
from permafrost.planning.interruption import require_ours
from permafrost.planning.ownership import category_name
from tests.acceptance.driver import wait_until
from tests.contract.program.conftest import CONVERGENCE, Program
from tests.contract.program.test_marks import in_racks
from tests.contract.vsphere.person import Person

# What the engine prints, and how often, when the moment has come.
MOMENTS = {
    "the program has begun": (r"^Updating", 1),
    "the folder is asked for": (r"vsphere:index:Folder .* creating", 1),
    "the tag category is asked for": (r"vsphere:index:TagCategory .* creating", 1),
    "an attribute is there": (r"vsphere:index:CustomAttribute .* created", 1),
    "hosts are grouped": (r"vsphere:index:ComputeClusterHostGroup .* creating", 1),
    "the first VM is cloned": (r"vsphere:index:VirtualMachine .* creating", 1),
    "the last VM is cloned": (r"vsphere:index:VirtualMachine .* creating", 4),
    "the first VM is there": (r"vsphere:index:VirtualMachine .* created", 1),
    "VMs are grouped or have overrides": (
        r"vsphere:index:(ComputeClusterVmGroup|HaVmOverride) .* creating",
        1,
    ),
    "the rule of a rack is asked for": (
        r"vsphere:index:ComputeClusterVmHostRule .* creating",
        1,
    ),
}
MOMENT_WITHIN_S = 240.0
SEEN_EVERY_S = 0.02
# Each change of how slow vCenter is lets the calls go on that wait, and makes later ones wait.
UNTIL_THE_NEXT_CHANGE_S = 3600.0
VMS = {"lab-edge-01", "lab-edge-02", "lab-chat-01", "lab-chat-02"}


@contextmanager
def running_up(program: Program, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A `pulumi up` that runs beside, and what it prints; afterwards vCenter answers at once."""
    said = folder / "up.log"
    environment = {**os.environ, **stack_environment(program.loaded, engine=program.engine)}
    command = ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive"]
    with said.open("wb") as out:
        child = subprocess.Popen(
            [*command, f"--exclude={CONVERGENCE}"],
            cwd=CHECKOUT,
            env=environment,
            stdout=out,
            stderr=out,
        )
    try:
        yield child, said
    finally:
        child.kill()
        child.wait(10)
        back_vcenter(program.vcenter)


def await_moment(
    program: Program, child: subprocess.Popen[bytes], said: Path, line: str, times: int
) -> None:
    """Return when the engine has printed it, and keep vCenter from answering any further.

    vCenter goes on by one answer after each look: the last rule is made in hundredths of a
    second, and a moment that is over before it is looked for would not be that moment.
    """
    shown = re.compile(line, re.MULTILINE)

    def come() -> bool:
        if len(shown.findall(said.read_text())) >= times or child.poll() is not None:
            return True
        slow_vcenter(program.vcenter, UNTIL_THE_NEXT_CHANGE_S)
        return False

    wait_until(f"{line} is printed {times} times", come, MOMENT_WITHIN_S, SEEN_EVERY_S)
    assert len(shown.findall(said.read_text())) >= times, said.read_text()[-4000:]


@contextmanager
def held(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """A process that stands still, and so cannot come to its end meanwhile."""
    child.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        child.send_signal(signal.SIGCONT)


@pytest.mark.exhaustive(1)
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_repaired_it_ends_in_the_whole_site(
    program: Program, tmp_path: Path, moment: str
) -> None:
    program.rewrite(in_racks)
    with running_up(program, tmp_path) as (child, said):
        await_moment(program, child, said, *MOMENTS[moment])
        assert child.poll() is None, "it was over before it could be killed"
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
    stack = program.stack
    found = stack.interruption()
    require_ours(found)
    assert [hold.pid for hold in found.holds] == [child.pid], "its own dead lock"
    stack.repair()
    assert stack.interruption().repairs == ()
    program.up()
    seen, site = program.observe(), program.loaded.site
    tagged = program.hypervisor.tagged(category_name(site))
    recorded = program.store.placement()
    assert find_drift(site, seen, recorded=recorded, tagged=tagged) == ()
    left = [c for c in stack.preview(refresh=True) if "Convergence" not in c.type]
    assert left == [], "the untargeted preview is clean"
    assert {vm.name for vm in seen.vms} == VMS, "no clone was forgotten"
    cluster = Person(program.vcenter, site, "esx-{}").find(vim.ClusterComputeResource, "DC0_C0")
    assert len(cluster.configurationEx.group) == 4
    assert len(cluster.configurationEx.rule) == 4


@pytest.mark.soak
def test_killed_while_vms_are_changed(program: Program, tmp_path: Path) -> None:
    program.up()
    for name in sorted(VMS):
        if "chat" in name:
            program.store.declare(name, DeclaredState.DRAINED, owner="operator:test")
    program.change(vm={"cpus": 8, "memory_mib": 8192, "disk_gib": 40})
    with running_up(program, tmp_path) as (child, said):
        await_moment(program, child, said, r"vsphere:index:VirtualMachine .* updating", 1)
        # The engine prints a step before it saves that it has begun it.
        wait_until(
            "the state says what is under way",
            lambda: bool(program.stack.interruption().pending) or child.poll() is not None,
            MOMENT_WITHIN_S,
        )
        assert child.poll() is None, "it was over before it could be killed"
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
    stack = program.stack
    kinds = {kind for kind, _, _ in stack.interruption().repairs}
    assert {"remove-lock", "clear-pending"} <= kinds
    stack.repair()
    assert stack.interruption().repairs == ()
    program.up("--refresh")
    person = Person(program.vcenter, program.loaded.site, "esx-{}")
    found = [person.vm(name) for name in sorted(VMS) if "chat" in name]
    seen = {(vm.config.hardware.numCPU, vm.runtime.powerState) for vm in found}
    assert seen == {(8, "poweredOn")}
    left = [c for c in stack.preview(refresh=True) if "Convergence" not in c.type]
    assert left == [], "the untargeted preview is clean"


@pytest.mark.soak
def test_of_two_at_once_one_is_told_and_the_other_ends_well(
    program: Program, tmp_path: Path
) -> None:
    with running_up(program, tmp_path) as (child, said):
        await_moment(program, child, said, r"vsphere:index:VirtualMachine .* creating", 1)
        with held(child):
            back_vcenter(program.vcenter)
            assert child.poll() is None, "it was over before the second one began"
            second = program.pulumi("up", "--yes", "--skip-preview", f"--exclude={CONVERGENCE}")
            assert second.returncode != 0, second.stdout
            assert "the stack is currently locked by" in second.stdout + second.stderr
            with pytest.raises(Held, match="PULUMI_STACK_LOCKED"):
                program.stack.up()
            with pytest.raises(Held, match=f"process {child.pid} on"):
                require_ours(program.stack.interruption())
        assert child.wait(MOMENT_WITHIN_S) == 0, said.read_text()[-4000:]
    assert program.stack.interruption().is_none
    drift = find_drift(program.loaded.site, program.observe(), recorded=program.store.placement())
    assert drift == ()
