"""Hosts that are lost, and everything brought back to where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pyVmomi import vim

from tests.acceptance.driver import Cli, VCenter, wait_until
from tests.acceptance.history import seconds

VM = vim.VirtualMachine


def hosts_of(vsphere: VCenter) -> dict[str, str]:
    """Return where every VM stands."""
    return {vm.name: vm.runtime.host.name for vm in vsphere.all(VM)}


def without_edges(document: dict[str, Any]) -> str:
    """Return the one host that has replicas and no edge, out of a status document."""
    edges = {edge["host"] for edge in document["edges"]}
    (host,) = {r["host"] for e in document["endpoints"] for r in e["replicas"]} - edges
    return str(host)


def lose(lab: Cli, kind: str, target: str) -> float:
    """Apply the fault; return when it began to act."""
    return seconds(lab.json("fault", "apply", kind, target)["applied_at"])


@contextmanager
def whole_again(
    lab: Cli, status: Callable[[], dict[str, Any]], vsphere: VCenter
) -> Iterator[None]:
    """Afterwards the host is back, every VM on and where it was, and all of them serve."""
    stood = hosts_of(vsphere)
    try:
        yield
    finally:
        bring_back(lab, vsphere, stood)
        wait_until("the site is healthy again", lambda: status()["healthy"], 240, every_s=2)


def bring_back(lab: Cli, vsphere: VCenter, stood: dict[str, str]) -> None:
    """Heal every fault, switch on what is off, and move each VM to where it stood."""
    lab.run("fault", "heal", "all")
    hosts = {h.name: h for h in vsphere.all(vim.HostSystem)}
    wait_until(
        "every host is connected",
        lambda: all(h.runtime.connectionState == "connected" for h in hosts.values()),
        60,
    )
    for vm in vsphere.all(VM):
        if vm.name in stood and vm.runtime.powerState != "poweredOn" and not vm.config.template:
            vsphere.await_task(vm.PowerOnVM_Task())
        if stood.get(vm.name) not in (None, vm.runtime.host.name):
            priority = vim.VirtualMachine.MovePriority.defaultPriority
            vsphere.await_task(vm.MigrateVM_Task(host=hosts[stood[vm.name]], priority=priority))
