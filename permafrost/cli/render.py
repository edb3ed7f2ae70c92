"""What is drawn of the site, its plans and its state, for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from permafrost.cli.render_knowledge import show_knowledge
from permafrost.cli.screen import console
from permafrost.planning.deploy import Plan, as_lines
from permafrost.planning.drain import DrainPlan
from permafrost.planning.lifecycle import ReplicaState
from permafrost.planning.reboot import Effect
from permafrost.planning.status import SiteStatus
from permafrost.runbook.findings import Finding, Level

COLOURS = {
    ReplicaState.ADMITTED: "green",
    ReplicaState.STARTING: "yellow",
    ReplicaState.DRAINING: "yellow",
    ReplicaState.DRAINED: "cyan",
    ReplicaState.OUT: "red",
    ReplicaState.LOST: "red",
}
LEVELS = {
    Level.OK: "[green]ok[/]",
    Level.STAND_IN: "[yellow]stand-in[/]",
    Level.EXPOSED: "[yellow]exposed[/]",
    Level.PROBLEM: "[red]problem[/]",
}


def show_status(status: SiteStatus) -> None:
    """Draw replicas in one table, then which host holds what."""
    out = console()
    health = "[green]healthy[/]" if status.is_healthy else "[red]not healthy[/]"
    lab = " (lab)" if status.environment == "lab" else ""
    out.print(f"[bold]{status.site}[/]{lab}: {health}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("endpoint", "replica", "state", "host", "gpu", "checkpoint", "in flight", ""):
        table.add_column(column, justify="right" if column == "in flight" else "left")
    for endpoint in status.endpoints:
        for replica in endpoint.replicas:
            colour = COLOURS[replica.state]
            table.add_row(
                endpoint.name,
                replica.name,
                f"[{colour}]{replica.state.value}[/]",
                replica.host or "-",
                ", ".join(replica.gpus) or "-",
                _short(replica.checkpoint),
                str(replica.in_flight),
                escape(replica.reason),
            )
    out.print(table)
    if status.blind:
        out.print(f"vcenter [red]DOWN[/] {escape(status.blind)}: hosts and GPUs are not known")
    _show_edges(status, out)
    if status.knowledge is not None:
        show_knowledge(status.knowledge, out)
    _show_topology(status, out)
    for drift in status.drift:
        out.print(f"[red]drift[/] {escape(str(drift))}")
    if status.operation:
        out.print(
            f"under way: {escape(status.operation['command'])}, since {status.operation['since']}"
        )


def show_plan(plan: Plan) -> None:
    """Draw a plan as numbered steps."""
    out = console()
    if not plan.steps:
        out.print("nothing to do: the site is as its file says")
    for number, line in as_lines(plan).items():
        out.print(f"{number}  {escape(line)}")
    for note in plan.notes:
        out.print(f"    {escape(note)}")
    effects = dict.fromkeys(v.effect for v in plan.vms.values())
    for effect in effects if effects.keys() - {Effect.UNTOUCHED} else ():
        names = ", ".join(name for name, v in plan.vms.items() if v.effect is effect)
        out.print(f"    {effect.value}: {names}")
    for line_ in plan.capacity_lines:
        out.print(f"    {escape(line_)}", style="dim")
    for problem in plan.unsupported:
        text = f"{problem.code} {problem.path}: {problem.message}"
        out.print(f"[yellow]deploy refuses[/] {escape(text)}")
    out.print(f"plan {plan.fingerprint[:19]}…", style="dim")


def show_drain_plan(plan: DrainPlan) -> None:
    """Draw what a drain does."""
    out = console()
    if not plan.steps:
        out.print(f"{plan.replica}: nothing to do, {escape(plan.why_nothing)}")
        return
    held = f", {plan.held_open} streams held open by their clients" if plan.held_open else ""
    out.print(f"drain {plan.replica}: {plan.in_flight} in flight{held}")
    for number, step in enumerate(plan.steps, start=1):
        out.print(f"{number:02}  {step.value}")
    out.print(f"    {plan.endpoint} stays served by {', '.join(plan.served_by) or 'nobody'}")
    for waived in plan.waived:
        out.print(f"    [bold]waived:[/bold] {escape(waived)}")


def show_findings(findings: Sequence[Finding]) -> None:
    """Draw what the doctor found."""
    out = console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("check", "", "found", "in production"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        table.add_row(
            finding.name, LEVELS[finding.level], escape(finding.detail), escape(finding.production)
        )
    out.print(table)


def _show_edges(status: SiteStatus, out: Console) -> None:
    for edge in status.edges:
        state = "[green]UP[/]" if edge.is_up else f"[red]DOWN[/] {escape(edge.reason)}"
        vip = f", holds {status.vip}" if edge.holds_vip else ""
        out.print(f"edge {edge.name} {state} on {edge.host or '-'}: {edge.address}{vip}")
    if (registry := status.registry) is not None:
        well = not registry.silent
        state = "[green]UP[/]" if well else f"[red]DOWN[/] {escape(registry.silent)}"
        out.print(
            f"registry {registry.name} {state} on {registry.host or '-'}: {registry.address}"
        )
    if status.vip and len(status.vip_holders) != 1:
        held = " and ".join(status.vip_holders) or "no edge"
        out.print(f"[red]{status.vip} is held by {held}[/]")
    for endpoint in status.endpoints:
        out.print(f"{endpoint.name}: https://{endpoint.address}")


def _show_topology(status: SiteStatus, out: Console) -> None:
    tree = Tree("hosts")
    for host in status.hosts:
        loss = ", ".join(f"{name} keeps {count}" for name, count in host.keeps.items())
        branch = tree.add(f"{host.name}  [dim]if lost: {loss}[/]")
        for vm in host.vms:
            gpu = f" · GPU {', '.join(vm.gpus)}" if vm.gpus else ""
            if vm.state is None:
                branch.add(f"{vm.name} ({vm.group})")
            else:
                branch.add(f"[{COLOURS[vm.state]}]{vm.name}[/]{gpu}")
    out.print(tree)


def _short(digest: str | None) -> str:
    return f"{digest[:19]}…" if digest else "-"
