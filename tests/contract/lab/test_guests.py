"""Guests as vCenter shows them: guestinfo, Tools, power, disks, memory, a killed supervisor."""

from __future__ import annotations

import base64
import gzip
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pyVmomi import vim, vmodl

from lab.errors import LabError
from lab.faults import apply as faults
from lab.hypervisor import guest
from lab.hypervisor.machine import Machine
from tests.contract.lab.bench import Bench, until

NAME = "lab-g"
HOST = "lab-esx-03"
SAYS = "#cloud-config\nwrite_files:\n  - path: /etc/said\n    content: frozen {}\n"
ENCODINGS = [
    pytest.param("", lambda raw: raw.decode(), id="plain"),
    pytest.param(
        "gzip+base64", lambda raw: base64.b64encode(gzip.compress(raw)).decode(), id="gzip"
    ),
    pytest.param(
        "base64",
        lambda raw: base64.b64encode(raw).decode(),
        id="base64",
        marks=pytest.mark.soak,  # what every other machine of these tests has
    ),
]


@pytest.fixture(scope="module")
def node(bench: Bench) -> Iterator[Machine]:
    """A small machine with a data disk."""
    bench.set_ha(enabled=False)
    faults.heal(bench.instance, "all")
    yield bench.make(NAME, HOST, memory_mib=256, data_gib=1)
    bench.destroy(NAME)


def _disk(bench: Bench) -> str:
    (folder,) = bench.inside(NAME, "ls", "/disks").split()
    return f"/disks/{folder}"


@pytest.mark.parametrize(("encoding", "encode"), ENCODINGS)
def test_metadata_userdata_and_network_come_from_guestinfo(
    bench: Bench, encoding: str, encode: Callable[[bytes], str]
) -> None:
    name = f"lab-e{len(encoding)}"
    bench.make(name, HOST, encoding=encoding, encode=encode, userdata=SAYS.format(encoding))
    assert bench.inside(name, "hostname").strip() == name
    assert bench.inside(name, "cat", "/etc/said") == f"frozen {encoding}".strip()
    shown = bench.vm(name).guest
    assert shown.ipAddress == bench.address(name)
    assert bench.address(name) in bench.inside(name, "ip", "-4", "address", "show", "host0")
    bench.destroy(name)


def test_tools_and_heartbeat_are_those_of_the_guest(bench: Bench, node: Machine) -> None:
    def shows(tools: str, heartbeat: str) -> bool:
        vm = bench.vm(NAME)
        return (vm.guest.toolsRunningStatus, vm.guestHeartbeatStatus) == (tools, heartbeat)

    bench.power_on(NAME)
    until("it beats", lambda: shows("guestToolsRunning", "green"))
    fault = faults.apply(bench.instance, "machine-freeze", NAME, {})
    until("it does not", lambda: bench.vm(NAME).guestHeartbeatStatus == "red")
    assert bench.vm(NAME).runtime.powerState == "poweredOn"
    faults.heal(bench.instance, fault.id)
    until("it beats again", lambda: shows("guestToolsRunning", "green"))
    bench.done(bench.vm(NAME).PowerOffVM_Task())
    until("it is off", lambda: shows("guestToolsNotRunning", "gray"))
    with pytest.raises(vmodl.MethodFault):
        bench.vm(NAME).ShutdownGuest()


def test_a_shutdown_is_graceful_a_power_off_is_not(bench: Bench, node: Machine) -> None:
    bench.power_on(NAME)
    bench.vm(NAME).ShutdownGuest()
    until("it is off", lambda: bench.vm(NAME).runtime.powerState == "poweredOff")
    assert not node.is_on
    assert "Reached target" in node.console_log.read_text(errors="replace")
    bench.power_on(NAME)
    until("it has booted", lambda: bench.settled(NAME))
    bench.done(bench.vm(NAME).PowerOffVM_Task())
    assert not node.is_on
    assert "Power-Off" not in node.console_log.read_text(errors="replace")


def test_a_frozen_guest_that_was_asked_to_reboot_keeps_nobody_waiting(
    bench: Bench, node: Machine
) -> None:
    """It hears nothing for minutes: its power can be pulled, and what it does later is its own."""
    bench.power_on(NAME)
    fault = faults.apply(bench.instance, "machine-freeze", NAME, {})
    bench.vm(NAME).RebootGuest()
    with pytest.raises(vim.fault.InvalidPowerState):
        bench.done(bench.vm(NAME).PowerOnVM_Task(None), 10)
    bench.done(bench.vm(NAME).PowerOffVM_Task(), 10)
    assert not node.is_on
    faults.heal(bench.instance, fault.id)
    bench.power_on(NAME)
    until("it has booted", lambda: bench.settled(NAME))
    assert bench.agree()
    assert bench.vm(NAME).runtime.powerState == "poweredOn"


@pytest.mark.parametrize(
    "how",
    ["reboot-guest", *(pytest.param(h, marks=pytest.mark.soak) for h in ("reset", "inside"))],
)
def test_a_restart_is_another_boot_of_the_same_machine(
    bench: Bench, node: Machine, how: str
) -> None:
    bench.power_on(NAME)
    before = guest.init_pid(node)
    bench.inside(NAME, "sh", "-c", f"echo {how} > {_disk(bench)}/kept; echo {how} > /root/kept")
    match how:
        case "reset":
            bench.done(bench.vm(NAME).ResetVM_Task())
        case "reboot-guest":
            bench.vm(NAME).RebootGuest()
        case _:
            bench.inside(NAME, "systemctl", "--no-block", "reboot")
    until("another boot", lambda: guest.init_pid(node) not in (None, before), 60)
    assert bench.agree()
    assert bench.vm(NAME).runtime.powerState == "poweredOn"
    assert bench.inside(NAME, "cat", "/root/kept", f"{_disk(bench)}/kept") == f"{how}\n{how}\n"


def test_a_disk_goes_with_its_vm_and_a_new_one_is_empty(bench: Bench, node: Machine) -> None:
    bench.power_on(NAME)
    bench.inside(NAME, "touch", f"{_disk(bench)}/old")
    bench.destroy(NAME)
    assert not node.folder.exists()
    assert not node.group.path.exists()
    bench.make(NAME, HOST, memory_mib=256, data_gib=1)
    assert bench.inside(NAME, "ls", _disk(bench)) == ""


def test_memory_ends_at_the_vms_size_and_only_there(bench: Bench, node: Machine) -> None:
    bench.power_on(NAME)
    # A unit of the guest: what is entered from outside stays in the group it came from.
    unit = ("systemd-run", "--quiet", "--wait", "--pipe", "python3", "-c")
    take = "x = bytearray({} << 20); print(len(x) >> 20)"
    assert bench.inside(NAME, *unit, take.format(60)).strip() == "60"
    with pytest.raises(LabError):
        bench.inside(NAME, *unit, take.format(400))
    assert node.is_on
    assert bench.inside(NAME, "echo", "still here").strip() == "still here"


@pytest.mark.parametrize("which", ["nspawn", pytest.param("boot script", marks=pytest.mark.soak)])
def test_a_machine_whose_supervisor_was_killed_is_found_and_obeys(
    bench: Bench, node: Machine, which: str
) -> None:
    bench.power_on(NAME)
    nspawn = guest.nspawn_pid(node)
    assert nspawn is not None
    victim = nspawn if which == "nspawn" else int(_stat(nspawn, "PPid"))
    os.kill(victim, signal.SIGKILL)
    assert node.is_on
    assert bench.inside(NAME, "echo", "alive").strip() == "alive"
    assert bench.agree()
    bench.done(bench.vm(NAME).ResetVM_Task())
    assert bench.agree()
    nspawn = guest.nspawn_pid(node)
    assert nspawn is not None, "a supervisor of its own again"
    os.kill(nspawn, signal.SIGKILL)
    bench.vm(NAME).ShutdownGuest()
    until("it is down", lambda: not node.is_on)
    assert bench.agree()


def _stat(pid: int, name: str) -> str:
    from pathlib import Path

    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{name}:")).split()[1]


def test_a_machine_switched_off_behind_vcenters_back_is_seen(bench: Bench, node: Machine) -> None:
    bench.power_on(NAME)
    bench.inside(NAME, "systemctl", "--no-block", "poweroff")
    until("it is off", lambda: bench.vm(NAME).runtime.powerState == "poweredOff")
    every: list[Any] = bench.every(vim.VirtualMachine)
    assert NAME in {vm.name for vm in every}
