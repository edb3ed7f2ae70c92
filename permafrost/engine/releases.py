"""What each endpoint's slots hold, as it was recorded, and the site as it is served by that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from permafrost.engine.state import StateStore
from permafrost.planning.release import Release, release_of
from permafrost.site.load import LoadedSite
from permafrost.site.pins import digest_of


def release(store: StateStore, loaded: LoadedSite, endpoint: str) -> Release:
    """Return what holds for an endpoint now."""
    pinned = digest_of(loaded.pinned(endpoint))
    return release_of(endpoint, pinned, store.recall(_key(endpoint)))


def releases(store: StateStore, loaded: LoadedSite) -> Mapping[str, Release]:
    """Return what holds for every endpoint."""
    return {name: release(store, loaded, name) for name in sorted(loaded.site.inference)}


def record_release(store: StateStore, made: Release) -> None:
    """Make this what holds for an endpoint; on disk when it returns."""
    store.remember(_key(made.endpoint), made.as_dict())


def as_served(store: StateStore, loaded: LoadedSite) -> LoadedSite:
    """Return the site with each endpoint's model being what is live since its upgrade."""
    asked = dict(loaded.asked)
    inference = dict(loaded.site.inference)
    for name, held in releases(store, loaded).items():
        pinned = loaded.pinned(name)
        if held.checkpoint != digest_of(pinned):
            served = f"{pinned.partition('@')[0]}@{held.checkpoint}"
            inference[name] = inference[name].model_copy(update={"model": served})
            asked[name] = pinned
    site = loaded.site.model_copy(update={"inference": inference})
    return replace(loaded, site=site, asked=asked)


def is_overruled(store: StateStore, loaded: LoadedSite, endpoint: str) -> bool:
    """Whether a pin that was moved has the last word over what is recorded."""
    record = store.recall(_key(endpoint))
    return record is not None and record["slots"] != dict(release(store, loaded, endpoint).slots)


def _key(endpoint: str) -> str:
    return f"release:{endpoint}"
