"""Cluster, template and network: do they allow what the site promises?"""

from __future__ import annotations

from collections.abc import Iterator

from permafrost.planning.cluster import AUTOMATED
from permafrost.planning.preflight_report import PreflightCheck, PreflightLevel, check
from permafrost.planning.snapshot import Inventory
from permafrost.site.model import Site

MINIMUM_HARDWARE = 17
"""vmx-17 came with vSphere 7.0, the oldest release that is relied on."""

FEATURE_DRS = "drs"


def cluster_checks(site: Site, inventory: Inventory) -> Iterator[PreflightCheck]:
    """Yield the checks of DRS, its licence, HA, the template and the network."""
    yield from _drs(inventory)
    yield from _ha(inventory)
    yield from _template(site, inventory)
    yield check(
        "PREFLIGHT_NETWORK_MISSING",
        "vcenter.network",
        site.vcenter.network in inventory.networks,
        seen=f"{site.vcenter.network} is "
        + ("there" if site.vcenter.network in inventory.networks else "not there"),
        needed="a port group of the datacenter",
        hint=f"there are: {', '.join(sorted(inventory.networks)) or 'none'}",
    )


def _drs(inventory: Inventory) -> Iterator[PreflightCheck]:
    settings = inventory.cluster
    yield check(
        "PREFLIGHT_DRS_OFF",
        "cluster",
        settings.drs_enabled,
        seen=f"DRS is {'on' if settings.drs_enabled else 'off'}",
        needed="DRS on: without it anti-affinity rules are stored and not acted on",
        hint="turn DRS on for the cluster",
    )
    yield check(
        "PREFLIGHT_DRS_LEVEL",
        "cluster",
        settings.drs_automation == AUTOMATED,
        seen=f"automation level {settings.drs_automation or 'not set'}",
        needed=f"{AUTOMATED}: else nobody moves a VM when a rule is broken or a host is emptied",
        hint="raise the automation level, or move VMs by hand during maintenance",
        otherwise=PreflightLevel.ATTENTION,
    )
    licensed = [x for x in inventory.licenses if FEATURE_DRS in x.features]
    evaluation = [x for x in inventory.licenses if x.is_evaluation]
    seen = ", ".join(x.name for x in licensed or evaluation) or "no licence names DRS"
    yield check(
        "PREFLIGHT_DRS_LICENSE",
        "cluster",
        bool(licensed),
        seen=seen,
        needed="a licence with DRS: at a lower level a rule may be stored and not acted on",
        hint="the evaluation ends after 60 days; assign a licence that has DRS"
        if evaluation
        else "assign a licence that has DRS to the hosts",
        otherwise=PreflightLevel.ATTENTION if evaluation else PreflightLevel.PROBLEM,
    )


def _ha(inventory: Inventory) -> Iterator[PreflightCheck]:
    settings = inventory.cluster
    attention = PreflightLevel.ATTENTION
    yield check(
        "PREFLIGHT_HA_OFF",
        "cluster",
        settings.ha_enabled and settings.ha_host_monitoring,
        seen=f"HA is {'on' if settings.ha_enabled else 'off'}, host monitoring "
        + ("on" if settings.ha_host_monitoring else "off"),
        needed="HA with host monitoring: it restarts edges when their host dies",
        hint="turn it on; a VM with a passthrough device stays where its device is in any case",
        otherwise=attention,
    )
    yield check(
        "PREFLIGHT_HA_RULES",
        "cluster",
        settings.ha_respects_rules,
        seen="HA "
        + ("keeps" if settings.ha_respects_rules else "may break")
        + " VM-VM anti-affinity rules",
        needed="das.respectVmVmAntiAffinityRules = true: with N replicas on N hosts a dead host "
        "means N-1, by design",
        hint="set the advanced option of vSphere HA",
        otherwise=attention,
    )
    hosts = len(inventory.hosts)
    is_sane = settings.ha_admission_control and 0 < settings.ha_failover_level < max(2, hosts)
    yield check(
        "PREFLIGHT_ADMISSION_CONTROL",
        "cluster",
        is_sane,
        seen=f"admission control is {'on' if settings.ha_admission_control else 'off'}, for "
        f"{settings.ha_failover_level} of {hosts} hosts",
        needed="on, for at least one host and fewer than there are",
        hint="off, restarts after a dead host may find no room; too high, no VM may power on",
        otherwise=attention,
    )


def _template(site: Site, inventory: Inventory) -> Iterator[PreflightCheck]:
    name = site.vcenter.template
    template = inventory.template(name)
    known = ", ".join(t.name for t in inventory.templates) or "none"
    yield check(
        "PREFLIGHT_TEMPLATE_MISSING",
        "vcenter.template",
        template is not None,
        seen=f"{name} is {'there' if template else 'not there'}",
        needed="a template of the datacenter",
        hint=f"there are: {known}",
    )
    if template is None:
        return
    yield check(
        "PREFLIGHT_TEMPLATE_FIRMWARE",
        "vcenter.template",
        template.firmware == "efi",
        seen=f"{name} boots by {template.firmware or 'an unknown firmware'}",
        needed="EFI: a large BAR is not mapped under BIOS, and a disk of one does not boot by "
        "the other",
        hint="make a template that was installed with EFI",
    )
    yield check(
        "PREFLIGHT_HARDWARE_VERSION",
        "vcenter.template",
        template.version_number >= MINIMUM_HARDWARE,
        seen=f"{name} has {template.hardware_version or 'no version'}",
        needed=f"vmx-{MINIMUM_HARDWARE} or later",
        hint="upgrade the template's compatibility",
    )
