"""What the commands about models share: which registry, and how a version is named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permafrost.cli.session import load

if TYPE_CHECKING:
    from model_registry.registry import Registry
    from model_registry.signatures import Policy

FOLDER = "models"

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="PERMAFROST_MODELS",
        help="The registry's folder; else `models` in the site's state folder.",
        show_default=False,
    ),
]
ReferenceArgument = Annotated[
    str, typer.Argument(metavar="REFERENCE", help="NAME:VERSION, NAME@STAGE or a digest.")
]
NameArgument = Annotated[str, typer.Argument(help="The model's name.")]
WhyOption = Annotated[str, typer.Option("--why", help="Kept with the event.")]
UnsafeOption = Annotated[bool, typer.Option("--allow-unsafe", help="Take in pickles too, marked.")]
ParentsOutsideOption = Annotated[
    bool, typer.Option("--parents-outside", help="Parents need not be registered here.")
]
KeyArgument = Annotated[Path, typer.Option("--key", help="Private key: PEM, elliptic curve.")]
PasswordOption = Annotated[
    Path | None, typer.Option("--key-password-file", help="Where the key has a password.")
]


def policy_of(site: Path | None) -> Policy:
    """Return what the site demands of signatures; nothing where no site is named."""
    from permafrost.runbook.model_signatures import no_policy, site_policy

    return no_policy() if site is None else site_policy(load(site, is_locked=False))


def models_of(site: Path | None, home: Path | None, *, create: bool = False) -> Registry:
    """Open the registry of ``--home``, or that of the site."""
    from permafrost.runbook.model import open_models

    return open_models(home or load(site, is_locked=False).state_dir / FOLDER, create=create)
