"""Which hosts and VMs the lab's vCenter shows, for the lab's own commands."""

from __future__ import annotations

import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lab.instance.model import Instance
from lab.services import vcenter

TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Inventory:
    """Hosts with their state, VMs with their host; empty where vCenter does not answer."""

    hosts: dict[str, str] = field(default_factory=dict)
    host_of: dict[str, str] = field(default_factory=dict)


def read(instance: Instance) -> Inventory:
    """Ask the vCenter; an empty inventory when it does not answer."""
    # Slow to import, and the lab's status must also work where vCenter is down.
    from pyVim.connect import Disconnect, SmartConnect
    from pyVmomi import vim, vmodl

    try:
        session = SmartConnect(  # type: ignore[no-untyped-call]
            host=instance.gateway,
            port=instance.allocation.vcenter_port,
            user=vcenter.USER,
            pwd=(instance.vcenter_dir / "password").read_text().strip(),
            sslContext=ssl.create_default_context(cafile=str(instance.ca_dir / "ca.pem")),
            httpConnectionTimeout=TIMEOUT_S,
        )
    except (OSError, vmodl.MethodFault):
        return Inventory()
    try:
        content = session.RetrieveContent()
        hosts = {host.name: _state(host) for host in _all(content, vim.HostSystem)}
        host_of: dict[str, str] = {}
        for vm in _all(content, vim.VirtualMachine):
            with suppress(vmodl.MethodFault, AttributeError):
                host_of[vm.name] = vm.runtime.host.name
        return Inventory(hosts, host_of)
    except (OSError, vmodl.MethodFault):
        return Inventory()
    finally:
        with suppress(OSError, vmodl.MethodFault):
            Disconnect(session)  # type: ignore[no-untyped-call]


def _state(host: Any) -> str:
    state = str(host.runtime.connectionState)
    return "maintenance" if state == "connected" and host.runtime.inMaintenanceMode else state


def _all(content: Any, kind: Any) -> list[Any]:
    view = content.viewManager.CreateContainerView(content.rootFolder, [kind], True)
    try:
        return list(view.view)
    finally:
        view.Destroy()
