"""Deleting a machine: shut down, by force if need be, and destroy."""

from __future__ import annotations

from lab.provider import inventory
from lab.provider.errors import NotFoundError, ProviderError
from lab.provider.session import Operation, fault_text
from lab.provider.values import Props
from lab.provider.vm import devices, power
from lab.provider.vsphere import vim, vmodl


def delete(op: Operation, uuid: str, state: Props) -> None:
    """Remove a machine and its disks, save those that the program keeps."""
    try:
        vm = inventory.vm_by_uuid(op.session, uuid)
    except NotFoundError as e:
        raise ProviderError(f'cannot locate virtual machine with UUID "{uuid}": {e}') from e
    try:
        if power.state(op, vm) == power.ON:
            # Whatever forcePowerOff says: a machine that is to go is not asked twice.
            power.shut_down(op, vm, {"shutdownWaitTimeout": 3, **state}, force=True)
        keys = [d["key"] for d in state.get("disks") or [] if d.get("keepOnRemove")]
        if keys:
            found = op.session.properties(vm, "config.hardware.device")
            kept = [d for d in devices.disks(found["config.hardware.device"]) if d.key in keys]
            specs = [devices.spec(devices.REMOVE, d) for d in kept]
            op.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=specs)))
        op.wait(vm.Destroy_Task())
    except vmodl.MethodFault as e:
        raise ProviderError(fault_text(e)) from e
