"""Random sequences of what happens to a site, and the agreement that must hold after each.

One sequence: power verbs, maintenance, faults, heals and kills of the lab's own processes, in any
order, on real machines. What vCenter refuses (a VM that is off already) is refused and no
failure. Afterwards everything is healed, and vCenter's view and the running machines must agree.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from pyVmomi import vim, vmodl

from lab.errors import LabError
from lab.faults import apply as faults
from lab.faults import centre
from lab.hypervisor import guest
from lab.hypervisor.machine import machines
from lab.instance.model import CHECKOUT
from lab.instance.waiting import wait_until
from lab.services import inventory
from tests.contract.lab.bench import Bench

NODES = ("lab-r1", "lab-r2", "lab-r3")
HOSTS = ("lab-esx-01", "lab-esx-02", "lab-esx-03")
SERVERS = ("vcenter", "registry", "packages")
MAINTENANCE_S = 5
POWER_ON_S = 150
"""A power-on waits 60 s for an address and 30 s for services: on a busy machine it takes all."""
NSPAWN = "systemd-nspawn"


@dataclass(frozen=True, slots=True)
class Do:
    """One thing that happens to something."""

    what: str
    to: str


POWER = ("on", "off", "reset", "shutdown", "reboot", "poweroff-inside", "kill-supervisor")
NODE_FAULTS = ("machine-kill", "machine-freeze", "machine-cut", "disk-full")

steps = st.one_of(
    st.builds(Do, st.sampled_from(POWER), st.sampled_from(NODES)),
    st.builds(Do, st.sampled_from(NODE_FAULTS), st.sampled_from(NODES)),
    st.builds(Do, st.sampled_from(("maintain", "leave", "host-lost")), st.sampled_from(HOSTS)),
    st.builds(Do, st.just("kill-server"), st.sampled_from(SERVERS)),
    st.builds(Do, st.just("kill-hook"), st.sampled_from(NODES)),
    st.builds(Do, st.just("heal"), st.just("all")),
)
sequences = st.lists(steps, min_size=7, max_size=12)


class World:
    """The site that sequences happen to."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.done: list[Do] = []
        self.refused: list[str] = []
        self.programs = {
            s: centre.prepare(bench.instance, s, {"mode": "killed"})["program"] for s in SERVERS
        }

    def make(self) -> None:
        """Make the VMs, each on a host of its own, and switch them on."""
        known = {vm.name for vm in self.bench.every(vim.VirtualMachine)}
        for name, host in zip(NODES, HOSTS, strict=True):
            if name not in known:
                self.bench.make(name, host)

    def begin(self) -> None:
        """Switch every machine on, so that there is something to happen to."""
        for name in NODES:
            with suppress(vim.fault.InvalidPowerState):  # it is on
                self._do(Do("on", name))

    def do(self, step: Do) -> None:
        """Let one thing happen. Refusals of vCenter and of the faults are part of it.

        A task that does not end is none.
        """
        try:
            self._do(step)
        except (LabError, vmodl.MethodFault, OSError) as error:
            said = getattr(error, "code", "") or getattr(error, "msg", "") or str(error)[:80]
            self.refused.append(f"{step.what} {step.to}: {type(error).__name__} {said}")
        else:
            self.done.append(step)

    def _do(self, step: Do) -> None:
        match step.what:
            case "on" | "off" | "reset" | "shutdown" | "reboot":
                self._power(step)
            case "poweroff-inside":
                self.bench.inside(step.to, "systemctl", "--no-block", "poweroff")
            case "kill-supervisor":
                pid = guest.nspawn_pid(self.bench.machine(step.to))
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)
            case "maintain":
                task = self.bench.find(vim.HostSystem, step.to).EnterMaintenanceMode_Task(
                    MAINTENANCE_S, False, None
                )
                self.bench.done(task, 30)
            case "leave":
                host = self.bench.find(vim.HostSystem, step.to)
                self.bench.done(host.ExitMaintenanceMode_Task(0), 30)
            case "kill-server":
                self.bench.instance.service_group(step.to).kill()
                self.back(step.to)
            case "kill-hook":
                self._kill_hook(step.to)
            case "heal":
                faults.heal(self.bench.instance, "all")
            case kind:
                faults.apply(self.bench.instance, kind, step.to, {})

    def _power(self, step: Do) -> None:
        vm: Any = self.bench.vm(step.to)
        match step.what:
            case "on":
                self.bench.done(vm.PowerOnVM_Task(None), POWER_ON_S)
            case "off":
                self.bench.done(vm.PowerOffVM_Task(), 90)
            case "reset":
                self.bench.done(vm.ResetVM_Task(), 90)
            case "shutdown":
                vm.ShutdownGuest()
            case "reboot":
                vm.RebootGuest()

    def _kill_hook(self, name: str) -> None:
        """Start a machine behind vCenter's back with a hook that is killed half way."""
        argv = [
            sys.executable,
            "-m",
            "lab.hypervisor",
            "--instance",
            str(self.bench.instance.root),
        ]
        hook = subprocess.Popen(
            [*argv, "on", name], cwd=CHECKOUT, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(lambda: self.bench.machine(name).is_on, 5, 0.005)
        hook.kill()
        hook.wait(10)

    def back(self, server: str) -> None:
        """Start a server of the lab again where it is away."""
        centre.daemon(self.bench.instance, server, self.programs[server]).ensure()

    def settle(self) -> str:
        """Heal all, end maintenance; return where the views differ, nothing when they agree."""
        for server in SERVERS:
            self.bench.instance.service_group(server).freeze(on=False)
            self.back(server)
        faults.heal(self.bench.instance, "all")
        for name in HOSTS:
            host = self.bench.find(vim.HostSystem, name)
            if host.runtime.inMaintenanceMode:
                self.bench.done(host.ExitMaintenanceMode_Task(0), 30)
        if self.bench.agree(90):
            return self._differences()
        return f"power or address: {self.bench.views()}"

    def _differences(self) -> str:
        """Compare hosts, devices and duplicates as well."""
        seen = inventory.read(self.bench.instance)
        found = []
        for node in machines(self.bench.instance):
            if node.group.frozen:
                found.append(f"{node.name} stands still")
            if len(supervisors(node.group.processes())) > 1:
                found.append(f"{node.name} runs twice")
        states = {name: state for name, state in seen.hosts.items() if state != "connected"}
        if states:
            found.append(f"hosts: {states}")
        return "; ".join(found)


def supervisors(pids: list[int]) -> list[int]:
    """Return the systemd-nspawn processes among some: one is one machine that runs.

    Until the guest's first process begins, nspawn's own children bear its name.
    """
    nspawns = {pid: parent for pid in pids for name, parent in _told(pid) if name == NSPAWN}
    return [pid for pid, parent in nspawns.items() if parent not in nspawns]


def _told(pid: int) -> list[tuple[str, int]]:
    """Return a process's name and parent; nothing for one that has just ended."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
        return [(name, int(rest.split()[1]))]
    except OSError:
        return []
