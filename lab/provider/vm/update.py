"""Updating a machine in place, and deciding whether that needs it to be off.

The order is the provider's: folder, pool, tags; then, where the configuration changes, shut
down if needed, reconfigure, and power on; at last the move to another host or datastore. A
machine that was off is powered on by any reconfiguration, but not by a move.
"""

from __future__ import annotations

from typing import Any

from lab.provider import inventory, planning
from lab.provider.errors import NotFoundError, PartialFailureError, ProviderError
from lab.provider.paths import top_level
from lab.provider.session import Operation, fault_text
from lab.provider.values import UNKNOWN, Props
from lab.provider.vm import marks, power
from lab.provider.vm.plan import diff, is_removed
from lab.provider.vm.read import read_state
from lab.provider.vm.schema import NO_RECONFIGURE, REBOOTS
from lab.provider.vm.spec import HardwareChanges, settings
from lab.provider.vsphere import vim, vmodl

OUTPUTS = frozenset({"guestIpAddresses", "vappTransports"})


def changed_properties(olds: Props, planned: Props) -> set[str]:
    """Return the names of the properties that this update changes."""
    return {top_level(p) for p in diff(olds, planned, planned).detail} - {"__meta"}


def needs_reboot(olds: Props, planned: Props, changed: set[str]) -> bool:
    """Say whether a running machine has to be off for these changes."""
    if olds.get("rebootRequired") or changed & REBOOTS:
        return True
    if "extraConfig" in changed and planned["extraConfigRebootRequired"]:
        return True
    if "numCpus" in changed:
        more = planned["numCpus"] > olds["numCpus"]
        hot = olds.get("cpuHotAddEnabled") if more else olds.get("cpuHotRemoveEnabled")
        if not hot:
            return True
    if "memory" in changed:
        return planned["memory"] < olds["memory"] or not olds.get("memoryHotAddEnabled")
    return False


def update(op: Operation, uuid: str, olds: Props, planned: Props) -> Props:
    """Change a machine as planned, and return its state."""
    try:
        vm = inventory.vm_by_uuid(op.session, uuid)
    except NotFoundError as e:
        raise PartialFailureError(
            f'cannot locate virtual machine with UUID "{uuid}": {e}',
            uuid,
            _kept(olds, planned) | {"clone": olds.get("clone")},
        ) from e
    changed = changed_properties(olds, planned)
    wanted = planning.known(planned)
    reboots = needs_reboot(olds, wanted, changed)
    kept = _kept(olds, planned)
    try:
        _place(op, vm, olds, wanted, changed)
        if changed & {"tags", "customAttributes"}:
            marks.apply(op, vm, wanted, olds)
        if changed - NO_RECONFIGURE - OUTPUTS or reboots:
            work = _prepare(op, vm, olds, wanted)
            # From here on a failure keeps the old state, so that the next update does it all.
            kept = {**olds, "clone": kept["clone"]}
            if _reconfigure(op, vm, work, olds, wanted, reboots=reboots):
                power.await_guest(op, vm, wanted)
        _move(op, vm, wanted, changed)
    except (ProviderError, vmodl.MethodFault) as e:
        reason = fault_text(e) if isinstance(e, vmodl.MethodFault) else str(e)
        raise PartialFailureError(reason, uuid, kept) from e
    wanted["disks"] = [d for d in wanted["disks"] if not is_removed(d)]
    return read_state(op, vm, wanted)


def _kept(olds: Props, planned: Props) -> Props:
    """Return the state to keep of an update that failed: the plan, as far as it is known."""
    kept = {k: olds.get(k) if v == UNKNOWN else v for k, v in planned.items()}
    if "disks" in kept:
        kept["disks"] = olds.get("disks")
    clone = kept.get("clone")
    if clone:
        maps = {key: clone.get(key) or {} for key in ("ovfNetworkMap", "ovfStorageMap")}
        kept["clone"] = {**clone, "linkedClone": bool(clone.get("linkedClone")), **maps}
    return kept


def _place(op: Operation, vm: Any, olds: Props, planned: Props, changed: set[str]) -> None:
    if "folder" in changed:
        center = inventory.datacenter_of(op.session, vm)
        folder = inventory.folder_at(op.session, center, "vm", planned.get("folder") or "")
        op.wait(folder.MoveIntoFolder_Task([vm]))
    if olds["resourcePoolId"] != planned["resourcePoolId"]:
        pool = op.session.reference(vim.ResourcePool, planned["resourcePoolId"])
        pool.MoveIntoResourcePool([vm])


def _prepare(op: Operation, vm: Any, olds: Props, planned: Props) -> tuple[Any, bool]:
    """Return what to reconfigure, and whether the machine is off; changes nothing."""
    found = op.session.properties(vm, "config.hardware.device", "runtime.powerState")
    changes = HardwareChanges(op.session, found["config.hardware.device"])
    changes.scsi(planned["scsiType"])
    changes.update_disks(olds.get("disks") or [], planned["disks"])
    changes.network(planned["networkInterfaces"])
    changes.cdroms(planned["cdroms"])
    changes.passthrough(planned["hostSystemId"], planned.get("pciDeviceIds") or [])
    spec = settings(planned, olds)
    spec.deviceChange = changes.specs
    return spec, bool(found["runtime.powerState"] == power.OFF)


def _reconfigure(
    op: Operation,
    vm: Any,
    work: tuple[Any, bool],
    olds: Props,
    planned: Props,
    *,
    reboots: bool,
) -> bool:
    """Reconfigure, off and on again where needed; says whether the machine was switched on."""
    spec, off = work
    if reboots and not off:
        power.shut_down(op, vm, planned, force=planned["forcePowerOff"])
        off = True
    op.wait(vm.ReconfigVM_Task(spec))
    if planned.get("hardwareVersion") != olds.get("hardwareVersion"):
        marks.raise_hardware_version(op, vm, planned["hardwareVersion"])
    if off:
        path = inventory.path_of(op.session, vm)
        power.switch_on(op, vm, path, planned["poweronTimeout"])
    return off


def _move(op: Operation, vm: Any, planned: Props, changed: set[str]) -> None:
    if not changed & {"hostSystemId", "datastoreId"}:
        return
    target = vim.vm.RelocateSpec()
    if "hostSystemId" in changed and planned.get("hostSystemId"):
        target.host = op.session.reference(vim.HostSystem, planned["hostSystemId"])
    if "datastoreId" in changed:
        target.datastore = op.session.reference(vim.Datastore, planned["datastoreId"])
        try:
            op.session.properties(target.datastore, "name")
        except vmodl.MethodFault as e:
            raise ProviderError(f"error running VM migration: disk.0: {fault_text(e)}") from e
    try:
        minutes = planned["migrateWaitTimeout"]
        op.wait(vm.RelocateVM_Task(target, None), minutes * power.SECONDS_PER_MINUTE)
    except vmodl.MethodFault as e:
        raise ProviderError(f"error running VM migration: {fault_text(e)}") from e
    except ProviderError as e:
        raise ProviderError(f"error running VM migration: {e}") from e
