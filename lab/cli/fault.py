"""``permafrost-lab fault apply | heal | list``."""

from __future__ import annotations

from typing import Annotated

import typer

from lab.cli.options import Output, OutputOption, SiteOption, emit, instance_of
from permafrost.errors import Problem, UsageError

app = typer.Typer(help="Apply and heal faults.", no_args_is_help=True)


@app.command()
def apply(
    kind: Annotated[str, typer.Argument(help="see `fault list`")],
    target: Annotated[
        str, typer.Argument(help="a host, a machine, machine:unit, machine:machine …")
    ],
    options: Annotated[list[str] | None, typer.Argument(help="k=v …")] = None,
    site: SiteOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Apply a fault; prints its id."""
    from lab.faults import apply as faults

    fault = faults.apply(instance_of(site), kind, target, _pairs(options or []))
    if output is Output.JSON:
        emit({"id": fault.id, "kind": kind, "target": target, "applied_at": fault.applied_at})
    else:
        typer.echo(fault.id)


@app.command()
def heal(
    which: Annotated[str, typer.Argument(metavar="ID|all")],
    site: SiteOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Undo one fault, or all."""
    from lab.faults import apply as faults

    healed = faults.heal(instance_of(site), which)
    if output is Output.JSON:
        emit({"healed": [fault.id for fault in healed]})
    else:
        for fault in healed:
            typer.echo(f"healed {fault.id} {fault.kind} {fault.target}")


@app.command("list")
def list_kinds(output: OutputOption = Output.TEXT) -> None:
    """Say which faults there are."""
    from lab.faults.kinds import KINDS

    if output is Output.JSON:
        emit(
            {
                "kinds": [
                    {"kind": name, "about": kind.about, "options": dict(kind.options)}
                    for name, kind in KINDS.items()
                ]
            }
        )
    else:
        for name, kind in KINDS.items():
            typer.echo(f"{name:<18} {kind.about}")
            if kind.options:
                typer.echo(f"{'':<18} " + " ".join(f"{k}={v}" for k, v in kind.options.items()))


def _pairs(options: list[str]) -> dict[str, str]:
    broken = [option for option in options if "=" not in option]
    if broken:
        raise UsageError(
            Problem("FAULT_OPTION_INVALID", f"{broken[0]!r} is not k=v", hint="write name=value")
        )
    return dict(option.split("=", 1) for option in options)
