"""`permafrost model …`: stages, removal, air gap and lock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permafrost.cli.model_options import (
    HomeOption,
    ParentsOutsideOption,
    ReferenceArgument,
    UnsafeOption,
    WhyOption,
    models_of,
    policy_of,
)
from permafrost.cli.options import Output, OutputOption, SiteOption, YesOption
from permafrost.cli.session import confirm, load, print_json, require_answer
from permafrost.errors import ExitStatus, Problem, Refused

if TYPE_CHECKING:
    from model_registry.catalogue.model import Verb

app = typer.Typer()


@app.command()
def promote(
    reference: ReferenceArgument,
    why: WhyOption = "",
    no_policy: Annotated[
        bool, typer.Option("--no-policy", help="Without a site: nobody demands a signature.")
    ] = False,
    yes: YesOption = False,
    site: SiteOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Take a version one stage up: candidate, staging, production."""
    require_answer(yes)
    from model_registry.catalogue.model import Verb

    if site is None and not no_policy:
        raise Refused(
            Problem(
                "POLICY_UNKNOWN",
                "no site file was named, so nobody says whose signature a promotion needs",
                hint="use --site FILE, or say --no-policy where there is no site",
            )
        )
    _change(Verb.PROMOTE, reference, why, yes, site, home, output)


@app.command()
def demote(
    reference: ReferenceArgument,
    why: WhyOption = "",
    yes: YesOption = False,
    site: SiteOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Take a version one stage down."""
    from model_registry.catalogue.model import Verb

    _change(Verb.DEMOTE, reference, why, yes, site, home, output)


@app.command()
def retire(
    reference: ReferenceArgument,
    why: WhyOption = "",
    yes: YesOption = False,
    site: SiteOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Take a version out of use; its content stays until it is collected."""
    from model_registry.catalogue.model import Verb

    _change(Verb.RETIRE, reference, why, yes, site, home, output)


def _change(
    verb: Verb,
    reference: str,
    why: str,
    yes: bool,
    site: Path | None,
    home: Path | None,
    output: Output,
) -> None:
    require_answer(yes)
    from permafrost.cli.model_render import show_moves
    from permafrost.cli.progress import progress
    from permafrost.runbook.model_changes import change_stage, plan_stage

    registry, policy = models_of(site, home), policy_of(site)
    plan = plan_stage(registry, reference, verb, policy)
    if output is Output.TEXT:
        show_moves(plan)
    confirm(f"{verb.value.capitalize()} {plan.name}:{plan.version}?", yes)
    with progress(f"{verb.value} {reference}") as meter:
        event = change_stage(registry, plan, why, policy, meter)
    if output is Output.JSON:
        said = {"at": event.at, "who": event.who, "why": event.why, "event": event.seq}
        print_json({"schema": 1, **plan.as_dict(), **said})


@app.command()
def gc(
    retired: Annotated[
        bool, typer.Option("--retired", help="Also the content of retired versions.")
    ] = False,
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Only say what.")] = False,
    why: WhyOption = "",
    yes: YesOption = False,
    site: SiteOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Remove content that nothing needs; never what is pinned, staged, or the way back."""
    if not plan_only:
        require_answer(yes)
    from permafrost.cli.progress import progress
    from permafrost.runbook.model_changes import plan_removal, remove_unneeded

    registry = models_of(site, home)
    sweep = plan_removal(registry, retired=retired)
    if output is Output.TEXT:
        for version in sweep.versions:
            typer.echo(f"content of {version.label}")
        typer.echo(f"{len(sweep.blobs)} blobs, {sweep.size:,} bytes")
    if not plan_only:
        confirm("Remove them?", yes)
        with progress("gc") as meter:
            sweep = remove_unneeded(registry, retired=retired, why=why, meter=meter)
    if output is Output.JSON:
        print_json({"schema": 1, "removed": not plan_only, **sweep.as_dict()})


@app.command("export")
def export_(
    references: Annotated[list[str], typer.Argument(help="Versions.")],
    to: Annotated[Path, typer.Option("--to", help="The file to write.")],
    site: SiteOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write versions into one file, for an air gap."""
    from permafrost.cli.progress import progress
    from permafrost.runbook.model_changes import export_models

    registry = models_of(site, home)
    with progress(f"export to {to}") as meter:
        size = export_models(registry, references, to, meter)
    if output is Output.JSON:
        print_json({"schema": 1, "file": str(to), "bytes": size})
    else:
        typer.echo(f"{to}: {size:,} bytes")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="What `export` wrote.")],
    allow_unsafe: UnsafeOption = False,
    parents_outside: ParentsOutsideOption = False,
    why: WhyOption = "",
    site: SiteOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Take in versions from one file; every byte is verified first."""
    from permafrost.cli.progress import progress
    from permafrost.runbook.model_changes import import_models

    registry = models_of(site, home, create=True)
    with progress(f"import {file}") as meter:
        found = import_models(
            registry,
            file,
            allow_unsafe=allow_unsafe,
            parents_outside=parents_outside,
            why=why,
            meter=meter,
        )
    if output is Output.JSON:
        print_json({"schema": 1, "versions": [a.as_dict() for a in found]})
    else:
        for a in found:
            note = "" if a.is_new else ", which was there already"
            typer.echo(f"{a.name}:{a.version} is {a.digest}{note}")


@app.command()
def lock(
    update: Annotated[bool, typer.Option("--update", help="Move the lock.")] = False,
    why: WhyOption = "",
    yes: YesOption = False,
    site: SiteOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show how models.lock differs from what is production; with --update move it."""
    if update:
        require_answer(yes)
    from permafrost.runbook.model_lock import plan_lock, update_lock

    loaded = load(site, is_locked=False)
    registry = models_of(site, home)
    plan = plan_lock(registry, loaded)
    if output is Output.TEXT:
        for step in plan.steps:
            before = f"{step.before.version} {step.before.digest}" if step.before else "-"
            after = f"{step.after.version} {step.after.digest}" if step.after else "-"
            typer.echo(f"{step.reference}: {before} → {after}")
        for endpoint, pinned in plan.apart.items():
            typer.echo(f"inference.{endpoint}.model pins {pinned}: not what is production")
        if not plan.steps:
            typer.echo(f"{plan.path} says what is production")
    if update and plan.steps:
        confirm(f"Write {plan.path}?", yes)
        update_lock(registry, loaded, plan, why)
    if output is Output.JSON:
        print_json({"schema": 1, "updated": update and bool(plan.steps), **plan.as_dict()})


@app.command()
def rebuild(
    why: WhyOption = "",
    site: SiteOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Register what the content names and the catalogue does not know, as candidates.

    Every byte is read first; exit 4 where something is not whole, and is left out.
    """
    from permafrost.cli.progress import progress
    from permafrost.runbook.model import rebuild_catalogue

    registry = models_of(site, home, create=True)
    with progress("rebuild") as meter:
        found = rebuild_catalogue(registry, why, meter)
    if output is Output.JSON:
        print_json({"schema": 1, **found.as_dict()})
    else:
        for left in found.left_out:
            typer.echo(f"left out: {left.label} {left.digest}: {left.why}")
        typer.echo(f"{len(found.versions)} versions registered")
    if found.left_out:
        raise typer.Exit(int(ExitStatus.FAILED))
