"""How the observation of vCenter is drawn for people."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from permafrost.cli.screen import console
from permafrost.planning.preflight_report import PreflightLevel, PreflightReport
from permafrost.runbook.drift import DriftReport

LEVELS = {
    PreflightLevel.OK: "[green]ok[/]",
    PreflightLevel.ATTENTION: "[yellow]attention[/]",
    PreflightLevel.PROBLEM: "[red]problem[/]",
}


def show_drift(report: DriftReport) -> None:
    """Draw where each VM stands, the cluster's settings, then every difference."""
    out = console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("vm", "power", "host", "gpu", "datastore", "network", "rule", "override"):
        table.add_column(column)
    for vm in report.vms:
        table.add_row(
            vm.name,
            "on" if vm.is_on else "[red]off[/]",
            vm.host,
            ", ".join(vm.gpus) or "-",
            ", ".join(vm.datastores) or "-",
            ", ".join(vm.networks) or "-",
            ", ".join(r.name for r in report.inventory.rules_of(vm.name)) or "-",
            ", ".join(filter(None, (vm.drs_override, vm.ha_override))) or "-",
        )
    out.print(table)
    settings = report.inventory.cluster
    drs = settings.drs_automation if settings.drs_enabled else "off"
    ha = "on" if settings.ha_enabled else "off"
    admission = "on" if settings.ha_admission_control else "off"
    respects = "kept" if settings.ha_respects_rules else "not kept"
    out.print(f"DRS {drs}; HA {ha}, admission control {admission}, rules {respects} by HA")
    if not report.has_baseline:
        out.print("settings were not recorded yet: `permafrost deploy` records them")
    if not report.drift:
        out.print("[green]no drift[/]: vCenter is as the last deployment left it")
    for found in report.drift:
        out.print(
            f"[bold red]{found.code.value}[/] {found.target}: {escape(found.seen)}; "
            f"wanted: {escape(found.wanted)}"
        )
        out.print(f"    {escape(found.hint)}")


def show_preflight(report: PreflightReport) -> None:
    """Draw every check; what to do stands below those that are not well."""
    out = console()
    for found in report.checks:
        out.print(f"{LEVELS[found.level]} {found.code} {found.target}: {escape(found.seen)}")
        if found.level is not PreflightLevel.OK:
            out.print(f"    needed: {escape(found.needed)}")
            out.print(f"    {escape(found.hint)}")
    problems = len(report.problems)
    out.print(f"{len(report.checks)} checks, {problems} problems")
