"""`permafrost model fingerprint …`: behaviour, probed on a drained replica."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permafrost.cli.changing import Asked
from permafrost.cli.model_options import KeyArgument, PasswordOption
from permafrost.cli.options import Output, OutputOption, PlanOnlyOption, SiteOption, YesOption
from permafrost.cli.session import open_site, print_json
from permafrost.errors import ExitStatus

if TYPE_CHECKING:
    from permafrost.planning.fingerprint import FingerprintPlan
    from permafrost.runbook.fingerprint import FingerprintEvidence

app = typer.Typer(
    help="What a checkpoint answers, probed on a drained replica.", no_args_is_help=True
)
ReplicaArgument = Annotated[str, typer.Argument(help="A drained replica of the site.")]


@app.command()
def record(
    replica: ReplicaArgument,
    probes: Annotated[
        Path | None,
        typer.Option("--probes", help="A probe set; else the checkpoint's, else the default."),
    ] = None,
    site: SiteOption = None,
    yes: YesOption = False,
    plan_only: PlanOnlyOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Record the behaviour of a checkpoint in its first serving class."""
    _run("record", replica, probes, Asked(site, yes, plan_only, output))


@app.command()
def compare(
    replica: ReplicaArgument,
    site: SiteOption = None,
    plan_only: PlanOnlyOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Compare a replica with what is recorded; exit 4 where it is different."""
    _run("compare", replica, None, Asked(site, True, plan_only, output))


@app.command()
def rebaseline(
    replica: ReplicaArgument,
    site: SiteOption = None,
    yes: YesOption = False,
    plan_only: PlanOnlyOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Compare a new serving class with the old one, and record it where it is equivalent."""
    _run("rebaseline", replica, None, Asked(site, yes, plan_only, output))


@app.command()
def sign(
    pinned: Annotated[str, typer.Argument(metavar="NAME@sha256:…", help="A checkpoint.")],
    key: KeyArgument,
    key_password_file: PasswordOption = None,
    site: SiteOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Sign the recorded fingerprints of a checkpoint, in the site's OCI registry."""
    from permafrost.cli.session import load
    from permafrost.runbook.model_signatures import signing_key
    from permafrost.wiring import fingerprints_of

    store = fingerprints_of(load(site, is_locked=False))
    signed = store.sign(pinned, signing_key(key, key_password_file, None, ()))
    if output is Output.JSON:
        print_json({"schema": 1, "checkpoint": pinned, "signed": list(signed)})
    else:
        typer.echo(f"{len(signed)} fingerprints of {pinned} signed")


def _run(verb: str, replica: str, probes: Path | None, asked: Asked) -> None:
    asked.require_answer()
    from model_registry.fingerprint.keeping import Verb
    from permafrost.runbook.fingerprint import fingerprint_replica, preview_fingerprint
    from permafrost.runbook.operations import operator, site_held
    from permafrost.wiring import fingerprints_of

    ctx = open_site(asked.site)
    plan = preview_fingerprint(ctx, replica, Verb(verb))
    if not asked.agree(lambda: _show_plan(plan), plan.as_dict, f"Probe {replica} and {verb}?"):
        return
    with site_held(ctx, f"fingerprint {verb} {replica}"):
        evidence = fingerprint_replica(
            ctx, fingerprints_of(ctx.loaded), replica, Verb(verb), owner=operator(), probes=probes
        )
    if asked.output is Output.JSON:
        ended = {"operation": evidence.operation, "receipt": evidence.receipt or None}
        print_json({**evidence.as_dict(), **ended})
    else:
        _show(evidence)
    if not evidence.judged.passes:
        raise typer.Exit(int(ExitStatus.FAILED))


def _show_plan(plan: FingerprintPlan) -> None:
    for number, (step, target) in enumerate(plan.steps, start=1):
        typer.echo(f"{number:02}  {step.value} {target}")


def _show(evidence: FingerprintEvidence) -> None:
    from permafrost.cli.model_render import short

    found = evidence.judged.comparison
    said = f"{evidence.plan.replica}, {short(evidence.seen.checkpoint)}: "
    if found is None:
        said += "nothing to compare with"
    else:
        of = "its own class" if found.same_class else "another class"
        said += f"{found.grade.value} to what is recorded of {of}"
        if found.mean_off_nat is not None:
            said += f", {found.mean_off_nat:.2g} nat apart"
    typer.echo(said)
    if found is not None and found.difference is not None:
        typer.echo(f"  first difference: {found.difference}")
    if found is not None and found.why:
        typer.echo(f"  {found.why}")
    if evidence.kept:
        typer.echo(f"  recorded as {evidence.kept}")
    for weak in evidence.weak:
        typer.echo(f"  weak probe set: its parent {short(weak.relative)} is {weak.grade.value}")
    for note in evidence.notes:
        typer.echo(f"  {note}")
    if evidence.receipt:
        typer.echo(f"Receipt: {evidence.receipt}")
