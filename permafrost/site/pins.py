"""Where in the site's registry a pinned name lies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from permafrost.site.model import Site


def digest_of(pinned: str) -> str:
    """Return the digest of ``name@sha256:…``."""
    return pinned.partition("@")[2]


def checkpoint_repository(pinned: str) -> str:
    """Return the repository of a checkpoint."""
    return _in_folder("checkpoints", pinned.partition("@")[0])


def image_repository(pinned: str) -> str:
    """Return the repository of a container image."""
    return _in_folder("images", pinned.partition("@")[0])


def images_of(site: Site) -> Iterator[tuple[str, str]]:
    """Yield each container image that a site pins, behind its place in the site file."""
    for name, endpoint in sorted(site.inference.items()):
        yield f"inference.{name}.image", endpoint.image
    pinned = site.knowledge.milvus.images if site.knowledge is not None else None
    for role, pin in sorted(pinned.model_dump().items()) if pinned is not None else ():
        if pin is not None:
            yield f"knowledge.milvus.images.{role}", pin


def _in_folder(folder: str, name: str) -> str:
    return name if name.startswith(f"{folder}/") else f"{folder}/{name}"
