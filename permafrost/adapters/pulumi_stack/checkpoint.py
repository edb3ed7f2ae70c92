"""What a stack's state says, as data: pending operations, VMs, whose they are, who encrypts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permafrost.adapters.pulumi_stack.ownership import site_of

CREATING = "creating"
VM_TYPE = "vsphere:index/virtualMachine:VirtualMachine"
COMPRESSED = (".gz", ".zst")

Latest = Mapping[str, Any]
"""The deployment of a checkpoint; empty for a stack of which nothing was saved."""


@dataclass(frozen=True, slots=True)
class Pending:
    """One operation that Pulumi had begun and never saw the end of."""

    operation: str
    type: str
    name: str

    def __str__(self) -> str:
        return f"{self.operation} {self.type.rpartition(':')[2]} {self.name}"


def read_latest(folder: Path, project: str, stack: str) -> Latest | None:
    """Return the state that a folder keeps of a stack; None when it has no such stack."""
    try:
        text = _path(folder, project, stack).read_text()
    except FileNotFoundError:
        return None
    return json.loads(text)["checkpoint"]["latest"] or {}


def is_compressed(folder: Path, project: str, stack: str) -> bool:
    """Whether the engine was told to compress the stack's state: then it alone reads it."""
    path = _path(folder, project, stack)
    return any(path.with_name(path.name + ending).exists() for ending in COMPRESSED)


def pending_operations(latest: Latest) -> tuple[Pending, ...]:
    """Return what the stack's state says was under way."""
    return tuple(_pending(entry) for entry in latest.get("pending_operations") or ())


def known_vms(latest: Latest) -> frozenset[str]:
    """Return the names of the VMs that the stack's state knows, finished or not.

    By their type: the component around a VM bears its name too.
    """
    return frozenset(_name(vm) for vm in _vms(latest))


def foreign_vms(latest: Latest, site: str) -> tuple[str, ...]:
    """Return the VMs whose annotation says that they are another site's."""
    owners = {
        _name(vm): site_of(str((vm.get("inputs") or {}).get("annotation"))) for vm in _vms(latest)
    }
    return tuple(sorted(name for name, owner in owners.items() if owner not in (None, site)))


def secrets_provider(latest: Latest) -> str | None:
    """Return by what the state's secrets are encrypted, as a site file says it; None: unsaid."""
    kind, state = _provider(latest)
    return str(state.get("url")) if kind == "cloud" else kind


def secrets_settings(latest: Latest) -> dict[str, str]:
    """Return the provider's entries of ``Pulumi.<stack>.yaml``, from the state itself."""
    kind, state = _provider(latest)
    if kind == "passphrase":
        return {"encryptionsalt": str(state["salt"])}
    if kind == "cloud":
        return {"secretsprovider": str(state["url"]), "encryptedkey": str(state["encryptedkey"])}
    return {}


def _provider(latest: Latest) -> tuple[str | None, Mapping[str, Any]]:
    found = latest.get("secrets_providers") or {}
    return found.get("type"), found.get("state") or {}


def _vms(latest: Latest) -> list[Mapping[str, Any]]:
    return [r for r in latest.get("resources") or () if r["type"] == VM_TYPE]


def _pending(entry: Mapping[str, Any]) -> Pending:
    resource = entry["resource"]
    return Pending(str(entry["type"]), str(resource["type"]), _name(resource))


def _name(resource: Mapping[str, Any]) -> str:
    return str(resource["urn"]).rsplit("::", 1)[-1]


def _path(folder: Path, project: str, stack: str) -> Path:
    return folder / ".pulumi" / "stacks" / project / f"{stack}.json"
