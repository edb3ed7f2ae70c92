"""A typed `pulumi up` on what was changed by hand: mended, or refused and nothing touched."""

from __future__ import annotations

import pytest

from permafrost.planning.drift import find_drift
from permafrost.planning.drift_report import DriftCode
from tests.contract.program.conftest import Program
from tests.contract.vsphere.person import Person

ONE, TWO = "lab-chat-01", "lab-chat-02"
RULE = "keep-apart-lab-chat"
VM_ONE = f"**virtualMachine:VirtualMachine::{ONE}"


def codes(program: Program) -> set[DriftCode]:
    site, store = program.loaded.site, program.store
    return {d.code for d in find_drift(site, program.observe(), recorded=store.placement())}


def left(program: Program) -> list[tuple[str, str]]:
    changes = program.stack.preview()
    return [(c.operation, c.name) for c in changes if "Convergence" not in c.type]


@pytest.mark.soak
def test_old_ids_are_mended_and_drift_that_nothing_mends_is_refused(program: Program) -> None:
    program.up()
    person = Person(program.vcenter, program.loaded.site, "esx-{}")

    # After an `up` limited to the VM the rule and the overrides name the one that is gone.
    # What is gone must be seen: an override of a VM that is no more cannot be taken off it.
    person.power_off(ONE)
    person.destroy(ONE)
    done = program.pulumi("up", "--yes", "--skip-preview", "--refresh", f"--target={VM_ONE}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert codes(program) == {
        DriftCode.RULE_MEMBERS,
        DriftCode.DRS_OVERRIDE,
        DriftCode.HA_OVERRIDE,
    }
    assert {name for _, name in left(program)} >= {RULE, ONE}
    program.up("--refresh")
    assert codes(program) == set()
    assert left(program) == [], "an untargeted preview is clean"
    rule = program.observe().rule(RULE)
    assert rule is not None
    assert rule.vms == {ONE, TWO}

    power = program.vcenter.power_events()
    person.keep_together([ONE, TWO])
    program.change(vm={"cpus": 8, "memory_mib": 8192, "disk_gib": 40})
    for command in (("preview",), ("up", "--yes", "--skip-preview")):
        refused = program.pulumi(*command, "--exclude=**:Convergence::**")
        said = refused.stdout + refused.stderr
        assert refused.returncode != 0, said
        assert "DRIFT_RULE_AGAINST: somebody's: vCenter shows: the rule keeps" in said
        assert "Traceback" not in said
    assert program.vcenter.power_events() == power, "nothing was touched"
    # The control: without that rule the same program is taken.
    person.remove_rule("somebody's")
    assert program.pulumi("preview", "--exclude=**:Convergence::**").returncode == 0
