"""The reboot gate in a typed `pulumi preview`, on VMs that a typed `pulumi up` has made."""

from __future__ import annotations

from permafrost.planning.drift import find_drift
from permafrost.planning.reboot import Effect, verdict_of_change
from permafrost.planning.snapshot import Inventory
from tests.contract.program.conftest import Program

VMS = ("lab-chat-01", "lab-chat-02")
VM = "vsphere:index/virtualMachine:VirtualMachine"


def test_preview_says_which_vm_is_power_cycled_and_which_is_not(program: Program) -> None:
    program.up()
    stack = program.stack

    def verdicts() -> dict[str, Effect]:
        return {
            c.name: verdict_of_change(Inventory(), c).effect
            for c in stack.preview()
            if c.name in VMS and c.type == VM
        }

    assert verdicts() == {}, "nothing was changed"
    drift = find_drift(program.loaded.site, program.observe(), recorded=program.store.placement())
    assert drift == (), "what the program makes is no drift"
    shape = {"cpus": 4, "memory_mib": 8192, "disk_gib": 40}
    program.change(vm={**shape, "disk_gib": 50})
    assert verdicts() == dict.fromkeys(VMS, Effect.UNTOUCHED)
    program.change(vm={**shape, "cpus": 8})
    assert verdicts() == dict.fromkeys(VMS, Effect.POWER_CYCLED)
    said = program.pulumi("preview").stdout
    for name in VMS:
        assert f"{name}: power-cycled (numCpus: 4 to 8, and cpuHotAddEnabled is not on)" in said
