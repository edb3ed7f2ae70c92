"""The working copy of ``Pulumi.<stack>.yaml``: the tracked settings, and the stack's salt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from permafrost.adapters.pulumi_stack.backend import stack_files
from permafrost.adapters.pulumi_stack.environment import PROJECT, config_file
from permafrost.pki.files import write_whole

if TYPE_CHECKING:
    from permafrost.site.load import LoadedSite

SECRETS = ("encryptionsalt", "secretsprovider", "encryptedkey")


def write_working_configuration(
    loaded: LoadedSite, checkout: Path, secrets: Mapping[str, str] | None = None
) -> None:
    """Take over the settings of the tracked file, keeping what belongs to the stack alone.

    ``secrets``: the provider's entries as the stack's state has them. They win: the state may have
    been given another provider, or been made on another machine.
    """
    working = config_file(loaded)
    tracked = _read(checkout / working.name)
    before = _read(working)
    after = {k: v for k, v in tracked.items() if k not in SECRETS}
    after |= secrets or {k: v for k, v in before.items() if k in SECRETS}
    if after != before or not working.exists():
        _write(working, after)
    project = stack_files(loaded) / "Pulumi.yaml"
    if not project.exists():
        _write(project, {"name": PROJECT, "runtime": "python"})


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return {}
    return document if isinstance(document, dict) else {}


def _write(path: Path, document: dict[str, Any]) -> None:
    write_whole(path, yaml.safe_dump(document, sort_keys=True).encode(), mode=0o600)
