"""Full names of what the site's registry holds."""

from __future__ import annotations

from permafrost.site.model import Site
from permafrost.site.pins import digest_of, image_repository


def image_reference(site: Site, pinned: str) -> str:
    """Return the full name of an image: registry, repository, digest."""
    return f"{site.registry.authority}/{image_repository(pinned)}@{digest_of(pinned)}"
