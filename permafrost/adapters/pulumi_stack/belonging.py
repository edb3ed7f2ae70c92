"""Whether the stack that a backend holds is the one that this site file means.

Made anew beside the old one, or mistaken for another site's, a stack would have Pulumi make or
remove every VM. So whoever names another backend or provider is told what stands against it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from permafrost.adapters.pulumi_stack.backend import WHERE, Backend, stack_files
from permafrost.adapters.pulumi_stack.checkpoint import (
    foreign_vms,
    is_compressed,
    read_latest,
    secrets_provider,
)
from permafrost.adapters.pulumi_stack.environment import PROJECT
from permafrost.errors import Problem, Refused
from permafrost.pki.files import write_whole

if TYPE_CHECKING:
    from permafrost.adapters.pulumi_stack.checkpoint import Latest
    from permafrost.site.load import LoadedSite
    from permafrost.site.model import Site

RECORD = "backend.json"
SERVICE = "service"
"""Pulumi's service encrypts for stacks that it keeps; no site file can name it."""


def require_own(site: Site, backend: Backend, latest: Latest) -> None:
    """Raise Refused when the stack is another site's, or encrypted by another provider."""
    stack = site.control.pulumi_stack
    if foreign := foreign_vms(latest, site.site):
        raise Refused(
            Problem(
                "PULUMI_STACK_FOREIGN",
                f"stack {stack} in {backend.shown} has VMs of another site: {', '.join(foreign)}",
                "control.pulumi_stack",
                "give each site that shares a backend a stack of its own name",
            )
        )
    made_with, named = secrets_provider(latest), site.control.secrets_provider
    if made_with not in (None, named):
        raise Refused(
            Problem(
                "SECRETS_PROVIDER_CHANGED",
                f"the secrets of stack {stack} are encrypted by {made_with}, not by {named}",
                "control.secrets_provider",
                _how_to_change(made_with, named),
            )
        )


def require_never_made(loaded: LoadedSite, backend: Backend) -> None:
    """Raise Refused when the site's stack was made before, and the backend has none."""
    stack = loaded.site.control.pulumi_stack
    noted = stack_files(loaded) / RECORD
    where = made_in(loaded)
    if where is None:
        return
    raise Refused(
        Problem(
            "PULUMI_STACK_MISSING",
            f"stack {stack} was made in {where}, and {backend.shown} has none: "
            "with an empty one every VM would be made a second time",
            WHERE,
            "name the backend that has it, mount it, or bring the stack over (`pulumi stack "
            f"export`, `init`, `import`); where it was removed on purpose, remove {noted} too",
        )
    )


def made_in(loaded: LoadedSite) -> str | None:
    """Return the backend in which the site's stack was seen last; None when there was none."""
    files, stack = stack_files(loaded), loaded.site.control.pulumi_stack
    try:
        known = json.loads((files / RECORD).read_text())
    except (FileNotFoundError, ValueError):
        known = {}
    if known.get("stack") == stack:
        return str(known["backend"])
    # A stack that was made before backends were recorded.
    is_there = read_latest(files, PROJECT, stack) is not None
    if is_there or is_compressed(files, PROJECT, stack):
        return f"file://{files}"
    return None


def record(loaded: LoadedSite, backend: Backend) -> None:
    """Remember where the stack is."""
    path = stack_files(loaded) / RECORD
    stack = loaded.site.control.pulumi_stack
    text = json.dumps({"schema": 1, "stack": stack, "backend": backend.shown}) + "\n"
    if not _says(path, text):
        write_whole(path, text.encode(), mode=0o600)


def _how_to_change(made_with: str | None, named: str) -> str:
    change = f"`pulumi stack change-secrets-provider {named}`"
    if made_with == SERVICE:
        return f"whoever made the stack types {change} where it was made"
    return (
        f'name {made_with} again, `eval "$(permafrost env)"`, and in the folder `pulumi` '
        f"of the state folder: {change}; then name that"
    )


def _says(path: Path, text: str) -> bool:
    try:
        return path.read_text() == text
    except FileNotFoundError:
        return False
