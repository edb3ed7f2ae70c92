"""Creating a machine: clone, fit, switch on, mark, and wait for its guest.

Until the machine is fitted a failure destroys the clone; from then on the machine stays, and
the failure carries its state, so that the engine does not lose it.
"""

from __future__ import annotations

import contextlib
from typing import Any

from lab.provider import inventory, planning
from lab.provider.errors import CancelledError, NotFoundError, PartialFailureError, ProviderError
from lab.provider.session import GONE, Operation, fault_text, task_fault_text
from lab.provider.values import UNKNOWN, Props
from lab.provider.vm import marks, power
from lab.provider.vm.read import read_state
from lab.provider.vm.schema import META
from lab.provider.vm.spec import HardwareChanges, settings
from lab.provider.vsphere import vim, vmodl


def create(op: Operation, planned: Props) -> tuple[str, Props]:
    """Make a machine of a plan; returns its UUID and state."""
    planned = planning.known(planned)
    clone: Props = planned.get("clone") or {}
    template = inventory.vm_by_uuid(op.session, clone.get("templateUuid", ""))
    vm = _clone(op, template, planned)
    try:
        if clone.get("customize") or clone.get("customizationSpec"):
            raise ProviderError(
                "error sending customization spec: the lab's plugin does not customise guests"
            )
        _fit(op, vm, planned)
    except ProviderError:
        with contextlib.suppress(ProviderError, vmodl.MethodFault):
            op.wait(vm.Destroy_Task())
        raise
    uuid = str(op.session.properties(vm, "config.uuid")["config.uuid"])
    try:
        path = inventory.path_of(op.session, vm)
        power.switch_on(op, vm, path, planned["poweronTimeout"])
        marks.apply(op, vm, planned, {})
        power.await_guest(op, vm, planned)
    except (ProviderError, CancelledError) as e:
        raise PartialFailureError(str(e), uuid, _unfinished(op, vm, uuid, planned)) from e
    return uuid, read_state(op, vm, planned)


def _clone(op: Operation, template: Any, planned: Props) -> Any:
    session = op.session
    pool = session.reference(vim.ResourcePool, planned["resourcePoolId"])
    try:
        owner = session.properties(pool, "owner")["owner"]
    except vmodl.fault.ManagedObjectNotFound as e:
        raise ProviderError(
            f'could not find resource pool ID "{pool._moId}": {fault_text(e)}'
        ) from e
    try:
        center = inventory.datacenter_of(session, owner)
        folder = inventory.folder_at(session, center, "vm", planned.get("folder") or "")
    except NotFoundError as e:
        raise ProviderError(str(e)) from e
    location = vim.vm.RelocateSpec(pool=pool)
    if planned.get("hostSystemId"):
        location.host = session.reference(vim.HostSystem, planned["hostSystemId"])
        _require(
            op, location.host, f'error locating host system at ID "{planned["hostSystemId"]}"'
        )
    if planned.get("datastoreId"):
        location.datastore = session.reference(vim.Datastore, planned["datastoreId"])
        _require(op, location.datastore, "error locating datastore for VM")
    spec = vim.vm.CloneSpec(location=location, powerOn=False, template=False)
    minutes = planned["clone"]["timeout"]
    try:
        task = template.CloneVM_Task(folder, planned["name"], spec)
        return op.wait(task, minutes * power.SECONDS_PER_MINUTE)
    except vmodl.MethodFault as e:
        raise ProviderError(f"error cloning virtual machine: {task_fault_text(e)}") from e
    except ProviderError as e:
        raise ProviderError(f"error cloning virtual machine: {e}") from e


def _require(op: Operation, target: Any, what: str) -> None:
    try:
        op.session.properties(target, "name")
    except vmodl.fault.ManagedObjectNotFound:
        raise ProviderError(f"{what}: {GONE}") from None


def _fit(op: Operation, vm: Any, planned: Props) -> None:
    """Give the clone its hardware and settings."""
    hardware = op.session.properties(vm, "config.hardware.device")["config.hardware.device"]
    changes = HardwareChanges(op.session, hardware)
    changes.clone_disks(planned["disks"])
    for i, interface in enumerate(planned["networkInterfaces"]):
        _require_network(op, i, interface["networkId"])
    changes.network(planned["networkInterfaces"])
    changes.cdroms(planned["cdroms"])
    if planned.get("pciDeviceIds"):
        try:
            changes.passthrough(planned["hostSystemId"], planned["pciDeviceIds"])
        except ProviderError as e:
            raise ProviderError(
                "error reconfiguring virtual machine: "
                f"error processing PCI passthrough device changes post-clone: {e}"
            ) from e
    spec = settings(planned, None)
    spec.deviceChange = changes.specs
    try:
        op.wait(vm.ReconfigVM_Task(spec))
        wanted = planned.get("hardwareVersion")
        if wanted:
            marks.raise_hardware_version(op, vm, wanted)
    except (ProviderError, vmodl.MethodFault) as e:
        reason = fault_text(e) if isinstance(e, vmodl.MethodFault) else str(e)
        raise ProviderError(f"error reconfiguring virtual machine: {reason}") from e


def _require_network(op: Operation, index: int, network_id: str) -> None:
    distributed = network_id.startswith("dvportgroup")
    kind = vim.dvs.DistributedVirtualPortgroup if distributed else vim.Network
    try:
        op.session.properties(op.session.reference(kind, network_id), "name")
    except vmodl.fault.ManagedObjectNotFound:
        raise ProviderError(
            "error reconfiguring virtual machine: error processing network device changes "
            f"post-clone: network_interface.{index}: Network with ID {network_id} not found"
        ) from None


def _unfinished(op: Operation, vm: Any, uuid: str, planned: Props) -> Props:
    """Return what is kept of a machine whose creation was not finished.

    As the plan has it, with the keys of its disks, and marked as one to be restarted: the
    next update then switches it off and on and waits for its guest again.
    """
    with contextlib.suppress(vmodl.MethodFault):
        found = read_state(op, vm, planned)
        planned = {**planned, **{key: found[key] for key in ("disks", "networkInterfaces")}}
    kept = {k: None if v == UNKNOWN else v for k, v in planned.items()}
    clone = planned.get("clone")
    if clone:
        kept["clone"] = {**clone, "linkedClone": bool(clone.get("linkedClone"))}
    return {**kept, "__meta": META, "id": uuid, "rebootRequired": True}
