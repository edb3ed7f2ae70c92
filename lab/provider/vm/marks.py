"""What is put on a machine beside its configuration: tags, custom attributes, its version."""

from __future__ import annotations

from typing import Any

from lab.provider.errors import NotFoundError, ProviderError
from lab.provider.session import Operation, fault_text
from lab.provider.values import Props
from lab.provider.vsphere import vmodl

KIND = "VirtualMachine"


def apply(op: Operation, vm: Any, planned: Props, olds: Props) -> None:
    """Make a machine's tags and custom attributes the planned ones."""
    wanted, had = set(planned.get("tags") or []), set(olds.get("tags") or [])
    try:
        for tag in sorted(had - wanted):
            op.session.tagging.detach(tag, KIND, vm._moId)
        for tag in sorted(wanted - had):
            op.session.tagging.attach(tag, KIND, vm._moId)
    except (NotFoundError, ProviderError) as e:
        raise ProviderError(f'error attaching tags to object ID "{vm._moId}": {e}') from e
    values, before = planned.get("customAttributes") or {}, olds.get("customAttributes") or {}
    manager = op.session.content.customFieldsManager
    changed = {k: v for k, v in values.items() if before.get(k) != v}
    changed |= {k: "" for k in before if k not in values}
    for key, value in changed.items():
        try:
            manager.SetField(vm, int(key), value)
        except vmodl.MethodFault as e:
            raise ProviderError(fault_text(e)) from e


def raise_hardware_version(op: Operation, vm: Any, version: int) -> None:
    """Upgrade a machine's virtual hardware; it is never lowered."""
    current = str(op.session.properties(vm, "config.version").get("config.version", "vmx-0"))
    if version > int(current.rpartition("-")[2]):
        op.wait(vm.UpgradeVM_Task(f"vmx-{version}"))
