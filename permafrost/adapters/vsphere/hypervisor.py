"""The hypervisor port on vCenter: observation and power."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from permafrost.adapters.vsphere.maintenance import enter, leave
from permafrost.adapters.vsphere.observe import read_inventory
from permafrost.adapters.vsphere.session import VcenterSession
from permafrost.adapters.vsphere.tasks import EVERY_S, again, await_task, find
from permafrost.engine.waiting import SystemClock, wait_until
from permafrost.errors import Failed, Problem
from permafrost.planning.snapshot import Inventory
from permafrost.ports import Clock

if TYPE_CHECKING:
    from permafrost.adapters.vsphere.tagging import Tagging


class VsphereHypervisor:
    """One cluster of one vCenter."""

    def __init__(
        self, session: VcenterSession, datacenter: str, cluster: str, clock: Clock | None = None
    ) -> None:
        self._session = session
        self._datacenter = datacenter
        self._cluster = cluster
        self._clock = clock or SystemClock()

    def observe(self) -> Inventory:
        """Return hosts, VMs and rules as they are now."""
        return self._session.call(
            lambda content: read_inventory(content, self._datacenter, self._cluster)
        )

    def about(self) -> str:
        """Return what the server calls itself."""
        return self._session.call(lambda content: str(content.about.fullName))

    def power_on(self, vm: str, *, deadline_s: float) -> None:
        """Power a VM on; done when it is on."""
        self._power(vm, lambda machine: machine.PowerOnVM_Task(), "poweredOn", deadline_s)

    def shut_down(self, vm: str, *, deadline_s: float) -> None:
        """Ask the guest to shut down; done when the VM is off."""
        self._power(vm, lambda machine: machine.ShutdownGuest(), "poweredOff", deadline_s)

    def power_off(self, vm: str, *, deadline_s: float) -> None:
        """Cut the power; done when the VM is off."""
        self._power(vm, lambda machine: machine.PowerOffVM_Task(), "poweredOff", deadline_s)

    def move(self, vm: str, host: str, *, deadline_s: float) -> None:
        """Move a VM to another host while it runs; done when it stands there."""

        def relocate(content: Any) -> Any:
            target = find(content, vim.HostSystem, host)
            make: Any = vim.vm.RelocateSpec
            spec = make(host=target)
            return find(content, vim.VirtualMachine, vm).RelocateVM_Task(spec=spec)

        await_task(self._session, vm, self._session.call(relocate), self._clock, deadline_s)

    def enter_maintenance(self, host: str, *, deadline_s: float) -> None:
        """Put a host into maintenance mode; done when it is. What may move is moved away."""
        enter(self._session, host, self._clock, deadline_s)

    def exit_maintenance(self, host: str, *, deadline_s: float) -> None:
        """Open a host again, and withdraw what still waits to close it."""
        leave(self._session, host, self._clock, deadline_s)

    def tagged(self, category: str) -> Mapping[str, frozenset[str]]:
        """Return by VM id the tags of one category."""
        return self._tagging().tagged(category)

    def mark(self, vm: str, *, category: str, tag: str, attributes: Mapping[str, str]) -> None:
        """Put a tag and custom attributes on a VM; what others put there stays."""

        def write(content: Any) -> str:
            machine = find(content, vim.VirtualMachine, vm)
            manager = content.customFieldsManager
            keys = {str(field.name): int(field.key) for field in manager.field}
            if missing := sorted(attributes.keys() - keys.keys()):
                text = f"vCenter has no custom attribute {', '.join(missing)}"
                hint = "`permafrost deploy` makes the site's attributes; then run this again"
                raise Failed(Problem("ATTRIBUTE_MISSING", text, vm, hint))
            for name, value in attributes.items():
                manager.SetField(machine, keys[name], value)
            return str(machine._moId)

        self._tagging().attach(self._session.call(write), category, tag)

    def _tagging(self) -> Tagging:
        # Its HTTP library takes as long to import as all else here; tags are asked seldom.
        from permafrost.adapters.vsphere.tagging import Tagging

        return Tagging(self._session)

    def _power(self, vm: str, ask: Callable[[Any], Any], wanted: str, deadline_s: float) -> None:
        machine = self._session.call(lambda content: find(content, vim.VirtualMachine, vm))

        def is_there() -> bool:
            return self._session.call(_power_of(machine)) == wanted

        if is_there():
            return
        task = self._session.call(lambda content: ask(again(content, machine)))
        if task is not None:
            await_task(self._session, vm, task, self._clock, deadline_s, code="VM_POWER")
        if not wait_until(is_there, clock=self._clock, deadline_s=deadline_s, every_s=EVERY_S):
            raise Failed(
                Problem(
                    "VM_POWER_DEADLINE",
                    f"not {wanted} within {deadline_s:g} s",
                    vm,
                    f"look at {vm} in vCenter, its console and tasks; then `permafrost resume`",
                )
            )


def _power_of(machine: Any) -> Callable[[Any], str]:
    return lambda content: str(again(content, machine).runtime.powerState)
