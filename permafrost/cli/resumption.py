"""`permafrost resume` without an operation: a deployment that was killed goes on."""

from __future__ import annotations

from pathlib import Path

from permafrost.cli.options import Output
from permafrost.cli.session import confirm, open_site, print_json, require_answer


def resume_deployment(site: Path | None, yes: bool, plan_only: bool, output: Output) -> None:
    """Repair what was left behind, then deploy, each shown and confirmed."""
    if not plan_only:
        require_answer(yes)
    from permafrost.cli.render import show_plan
    from permafrost.cli.screen import line
    from permafrost.runbook.deploy import execute, make_plan, require_supported
    from permafrost.runbook.resumption import find_interruption, repair, require_clean
    from permafrost.runbook.unfinished import require_undisturbed

    ctx = open_site(site)
    found = find_interruption(ctx)
    if output is Output.TEXT:
        for kind, target, detail in found.repairs:
            line(f"{kind} {target}: {detail}")
        if found.is_none:
            line("nothing was interrupted")
        elif found.operation:
            line(f"deployment {found.operation} did not end; it is planned anew")
    if found.is_none or plan_only:
        if output is Output.JSON:
            print_json({"schema": 1, "command": "resume", **found.as_dict()})
        return
    receipt_of_repair = ""
    if found.repairs:
        confirm(f"Put these {len(found.repairs)} things right?", yes)
        receipt_of_repair = repair(ctx, found)
        if output is Output.TEXT:
            line(f"put right. Receipt: {receipt_of_repair}")
    made = make_plan(ctx)
    if output is Output.TEXT:
        show_plan(made)
    require_supported(made)
    require_undisturbed(ctx, made)
    if made.steps:
        confirm(f"Do these {len(made.steps)} steps?", yes)
    receipt = execute(ctx, made)
    require_clean(ctx)
    if output is Output.JSON:
        resumed = {**found.as_dict(), "receipt": receipt_of_repair or None}
        print_json({**receipt, "resumed": resumed})
    else:
        line(f"verified, and Pulumi has nothing left to do. Receipt: {receipt['receipt']}")
