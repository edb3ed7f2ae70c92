"""Rows of a cluster, its datastores, templates and licences, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pyVmomi import vim

from permafrost.adapters.vsphere.traversal import LICENSES, Row
from permafrost.planning.cluster import (
    RESPECT_RULES,
    ClusterSettings,
    DatastoreFacts,
    LicenseFacts,
    TemplateFacts,
)

FEATURE = "feature"


def settings_of(configuration: Any) -> ClusterSettings:
    """Return the settings of DRS and HA. What vCenter leaves out stands at its default: off."""
    drs = getattr(configuration, "drsConfig", None)
    ha = getattr(configuration, "dasConfig", None)
    options = {str(o.key): str(o.value).lower() for o in getattr(ha, "option", None) or ()}
    return ClusterSettings(
        drs_enabled=bool(getattr(drs, "enabled", False)),
        drs_automation=str(getattr(drs, "defaultVmBehavior", None) or ""),
        drs_overrides_allowed=bool(getattr(drs, "enableVmBehaviorOverrides", False)),
        ha_enabled=bool(getattr(ha, "enabled", False)),
        ha_host_monitoring=str(getattr(ha, "hostMonitoring", None) or "") == "enabled",
        ha_admission_control=bool(getattr(ha, "admissionControlEnabled", False)),
        ha_failover_level=int(getattr(ha, "failoverLevel", None) or 0),
        # vSphere's own default since 6.5, where the option is not set.
        ha_respects_rules=options.get(RESPECT_RULES, "true") == "true",
    )


def overrides_of(configuration: Any) -> tuple[dict[str, str], dict[str, str]]:
    """Return by VM id the DRS automation levels and the HA restart priorities of VMs' own."""
    drs = {
        str(info.key._moId): str(info.behavior or "") if info.enabled is not False else "disabled"
        for info in getattr(configuration, "drsVmConfig", None) or ()
    }
    ha: dict[str, str] = {}
    for info in getattr(configuration, "dasVmConfig", None) or ():
        settings = getattr(info, "dasSettings", None)
        priority = getattr(settings, "restartPriority", None) or getattr(
            info, "restartPriority", None
        )
        if priority:
            ha[str(info.key._moId)] = str(priority)
    return drs, ha


def datastores_of(rows: Iterable[Row], hosts: Mapping[str, Row]) -> tuple[DatastoreFacts, ...]:
    """Return the datastores, with those hosts of the cluster that mount them."""
    found = []
    for row in rows:
        mounts = {str(mount.key._moId) for mount in row.get("host") or ()}
        found.append(
            DatastoreFacts(
                name=str(row["name"]),
                free_gib=int(row.get("summary.freeSpace") or 0) >> 30,
                capacity_gib=int(row.get("summary.capacity") or 0) >> 30,
                is_accessible=bool(row.get("summary.accessible", True)),
                hosts=frozenset(str(hosts[m]["name"]) for m in mounts & hosts.keys()),
            )
        )
    return tuple(sorted(found, key=lambda d: d.name))


def template_of(row: Row) -> TemplateFacts:
    """Return a template's facts; its size is that of its largest disk."""
    sizes = [
        int(device.capacityInKB) >> 20
        for device in row.get("config.hardware.device") or ()
        if isinstance(device, vim.vm.device.VirtualDisk)
    ]
    return TemplateFacts(
        name=str(row["name"]),
        disk_gib=max(sizes, default=0),
        firmware=str(row.get("config.firmware") or ""),
        hardware_version=str(row.get("config.version") or ""),
        guest_id=str(row.get("config.guestId") or ""),
    )


def licenses_of(rows: Iterable[Row]) -> tuple[LicenseFacts, ...]:
    """Return the licences that the vCenter holds; their keys are not kept."""
    return tuple(
        LicenseFacts(
            edition=str(license_.editionKey or ""),
            name=str(license_.name or ""),
            features=frozenset(
                str(p.value.key)
                for p in license_.properties or ()
                if p.key == FEATURE and hasattr(p.value, "key")
            ),
        )
        for row in rows
        for license_ in row.get(LICENSES) or ()
    )
