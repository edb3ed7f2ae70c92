"""Models to and from the site's OCI registry."""

from __future__ import annotations

from model_registry.adding import Added
from model_registry.exchange import Pushed, pull_version, push_version
from model_registry.meter import Meter
from model_registry.registry import Registry
from permafrost.adapters.models import open_remote, translated
from permafrost.errors import Problem, Refused
from permafrost.site.load import LoadedSite
from permafrost.site.pins import checkpoint_repository


@translated()
def push_model(loaded: LoadedSite, registry: Registry, reference: str, meter: Meter) -> Pushed:
    """Push a version with what refers to it."""
    with open_remote(loaded) as client:
        return push_version(
            registry, registry.resolve(reference), client, checkpoint_repository, meter
        )


@translated()
def pull_model(
    loaded: LoadedSite,
    registry: Registry,
    reference: str,
    label: str | None,
    meter: Meter,
    *,
    allow_unsafe: bool,
    parents_outside: bool,
    why: str,
) -> Added:
    """Pull ``NAME:TAG`` or ``NAME@sha256:…``; register it under a label, else as it is named."""
    remote, at, digest = reference.partition("@")
    tag = digest
    if not at:
        remote, _, tag = reference.rpartition(":")
    name, _, version = (label or ("" if at else reference)).rpartition(":")
    if not remote or not tag or not name:
        raise Refused(
            Problem(
                "REFERENCE_INVALID",
                f"{reference!r} does not say what to pull, and under which name and version",
                hint="write NAME:TAG, or NAME@sha256:… with --as NAME:VERSION",
            )
        )
    with open_remote(loaded) as client:
        return pull_version(
            registry,
            client,
            checkpoint_repository(remote),
            tag,
            name,
            version,
            meter,
            allow_unsafe=allow_unsafe,
            parents_outside=parents_outside,
            why=why,
        )
