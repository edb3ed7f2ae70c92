"""Switching machines on and off, and waiting for their guests."""

from __future__ import annotations

import ipaddress
from typing import Any

from lab.provider.errors import ProviderError
from lab.provider.session import Operation, fault_text
from lab.provider.values import Props
from lab.provider.vsphere import vmodl
from lab.provider.waiting import wait_until

ON, OFF = "poweredOn", "poweredOff"
TOOLS_RUNNING = "guestToolsRunning"
SECONDS_PER_MINUTE = 60.0
NO_ADDRESS = "timeout waiting for an available IP address"


def state(op: Operation, vm: Any) -> str:
    """Return whether the machine is on or off."""
    return str(op.session.properties(vm, "runtime.powerState")["runtime.powerState"])


def switch_on(op: Operation, vm: Any, path: str, timeout_s: float) -> None:
    """Power the machine on and wait until vCenter says so."""
    try:
        task = vm.PowerOnVM_Task(None)
    except vmodl.MethodFault as e:
        raise ProviderError(
            "error powering on virtual machine: failed to submit poweron task for vm "
            f'"{path}": {fault_text(e)}'
        ) from e
    try:
        op.wait(task, timeout_s)
    except ProviderError as e:
        raise ProviderError(f"error powering on virtual machine: {e}") from e


def shut_down(op: Operation, vm: Any, settings: Props, *, force: bool) -> None:
    """Shut the guest down where its Tools run; power off hard where not, or where forced."""
    tools = op.session.properties(vm, "guest.toolsRunningStatus")
    if tools.get("guest.toolsRunningStatus") == TOOLS_RUNNING:
        if _guest_stops(op, vm, settings["shutdownWaitTimeout"] * SECONDS_PER_MINUTE):
            return
        if not force:
            raise ProviderError(
                "error shutting down virtual machine: "
                "the VM did not power off within the specified amount of time"
            )
    try:
        op.wait(vm.PowerOffVM_Task())
    except (vmodl.MethodFault, ProviderError) as e:
        if state(op, vm) == OFF:
            return
        reason = fault_text(e) if isinstance(e, vmodl.MethodFault) else str(e)
        raise ProviderError(f"error shutting down virtual machine: {reason}") from e


def _guest_stops(op: Operation, vm: Any, timeout_s: float) -> bool:
    try:
        vm.ShutdownGuest()
    except vmodl.MethodFault:
        return state(op, vm) == OFF
    return wait_until(lambda: state(op, vm) == OFF or None, timeout_s, op.cancelled) is not None


def await_guest(op: Operation, vm: Any, settings: Props) -> None:
    """Wait for an address of the guest; raises ProviderError when time is up."""
    minutes = settings["waitForGuestNetTimeout"]
    if minutes < 1 and (settings.get("waitForGuestIpTimeout") or 0) < 1:
        return
    minutes = minutes if minutes >= 1 else settings["waitForGuestIpTimeout"]
    routable = bool(settings["waitForGuestNetRoutable"])
    ignored = settings.get("ignoredGuestIps") or []

    def has_address() -> bool | None:
        guest = op.session.properties(vm, "guest.net", "guest.ipStack")
        nets, stacks = guest.get("guest.net", []), guest.get("guest.ipStack", [])
        return bool(usable(nets, stacks, ignored, routable=routable)) or None

    if wait_until(has_address, minutes * SECONDS_PER_MINUTE, op.cancelled) is None:
        raise ProviderError(NO_ADDRESS)


def usable(nets: list[Any], stacks: list[Any], ignored: list[str], *, routable: bool) -> list[str]:
    """Return the guest's addresses that something outside could reach."""
    gateways = [
        ipaddress.ip_address(route.gateway.ipAddress)
        for stack in stacks
        if stack.ipRouteConfig
        for route in stack.ipRouteConfig.ipRoute
        if route.gateway and route.gateway.ipAddress
    ]
    ranges = [ipaddress.ip_network(i, strict=False) for i in ignored]
    found = []
    for net in nets:
        for entry in net.ipConfig.ipAddress if net.ipConfig else []:
            interface = ipaddress.ip_interface(f"{entry.ipAddress}/{entry.prefixLength}")
            if interface.is_link_local or interface.is_loopback:
                continue
            if any(interface.ip in r for r in ranges):
                continue
            if not routable or any(g in interface.network for g in gateways):
                found.append(str(interface.ip))
    return found


def addresses(nets: list[Any]) -> list[str]:
    """Return all addresses that a guest reports."""
    return [a for net in nets for a in (net.ipAddress or [])]
