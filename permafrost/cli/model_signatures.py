"""`permafrost model …`: whether bytes, signatures and catalogue are what they should be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permafrost.cli.model_options import (
    HomeOption,
    KeyArgument,
    PasswordOption,
    ReferenceArgument,
    WhyOption,
    models_of,
    policy_of,
)
from permafrost.cli.options import Output, OutputOption, SiteOption
from permafrost.cli.session import print_json
from permafrost.errors import ExitStatus, Problem, Refused

if TYPE_CHECKING:
    from model_registry.signing import SigningKey

app = typer.Typer()

KeyOption = Annotated[Path | None, typer.Option("--key", help="Private key: PEM, elliptic curve.")]
CertificateOption = Annotated[
    Path | None, typer.Option("--certificate", help="The key's certificate.")
]
ChainOption = Annotated[
    list[Path] | None, typer.Option("--chain", help="What issued the certificate; repeatable.")
]
SignerOption = Annotated[
    list[Path] | None,
    typer.Option("--signer", help="Public key or authority; else the site's signers. Repeatable."),
]


@app.command()
def sign(
    reference: ReferenceArgument,
    key: KeyArgument,
    key_password_file: PasswordOption = None,
    certificate: CertificateOption = None,
    chain: ChainOption = None,
    why: WhyOption = "",
    site: SiteOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Read every byte of a version, then sign it; nothing is asked of the network."""
    from permafrost.cli.progress import progress
    from permafrost.runbook.model_signatures import sign_model

    signing, registry = _key(key, key_password_file, certificate, chain), models_of(site, home)
    with progress(f"sign {reference}") as meter:
        found = sign_model(registry, reference, signing, why, meter)
    if output is Output.JSON:
        print_json({"schema": 1, **found.as_dict()})
    else:
        note = "" if found.is_new else ", which this key had signed already"
        typer.echo(f"signed {found.version.label} {found.version.digest}{note}")


@app.command()
def verify(
    reference: Annotated[str | None, typer.Argument(help="This version alone.")] = None,
    signature: Annotated[
        bool, typer.Option("--signature", help="Also: a named key must have signed it.")
    ] = False,
    signer: SignerOption = None,
    site: SiteOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Read every byte; exit 4 and name the files where one is not as promised."""
    from permafrost.cli.progress import progress
    from permafrost.runbook.model_signatures import signers_of, verify_models

    signers = signers_of(policy_of(site), signer or ()) if signature else None
    registry = models_of(site, home)
    with progress("verify") as meter:
        found = verify_models(registry, reference, signers, meter)
    if output is Output.JSON:
        print_json({"schema": 1, "versions": [c.as_dict() for c in found]})
    else:
        for checked in found:
            typer.echo(f"{checked.version.label} {checked.says}")
    if not all(checked.holds for checked in found):
        raise typer.Exit(int(ExitStatus.FAILED))


@app.command()
def audit(
    against: Annotated[
        Path | None, typer.Option("--against", help="A head that was exported earlier.")
    ] = None,
    export_head: Annotated[
        Path | None, typer.Option("--export-head", help="Write the head here if all is well.")
    ] = None,
    key: KeyOption = None,
    key_password_file: PasswordOption = None,
    certificate: CertificateOption = None,
    chain: ChainOption = None,
    signer: SignerOption = None,
    site: SiteOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Find edited rows, a rewritten chain, a cut-off tail; exit 4 where there is one.

    With --key the exported head is signed; with --signer the head must be signed by it.
    """
    from permafrost.runbook import model_signatures as runbook

    if key is not None and export_head is None:
        raise Refused(
            Problem(
                "HEAD_NOT_NAMED",
                "a key signs an exported head, and none is named",
                hint="name the file with --export-head",
            )
        )
    registry = models_of(site, home)
    signing = _key(key, key_password_file, certificate, chain) if key else None
    found = runbook.audit_models(registry, against, tuple(signer or ()))
    if output is Output.JSON:
        print_json({"schema": 1, "findings": [f.as_dict() for f in found]})
    else:
        for finding in found:
            typer.echo(f"{finding.code} {finding.what}")
        if not found:
            typer.echo("the catalogue is what its events made it")
    if found:
        raise typer.Exit(int(ExitStatus.FAILED))
    if export_head is not None:
        runbook.export_head(registry, export_head, signing)


def _key(
    key: Path, password_file: Path | None, certificate: Path | None, chain: list[Path] | None
) -> SigningKey:
    from permafrost.runbook.model_signatures import signing_key

    return signing_key(key, password_file, certificate, tuple(chain or ()))
