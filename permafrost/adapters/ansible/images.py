"""Full names of what the site's registry holds."""

from __future__ import annotations

from permafrost.site.model import Site
from permafrost.site.pins import digest_of, image_repository


def registry_address(site: Site) -> str:
    """Return host and port of the site's registry."""
    return site.registry.url.removeprefix("oci://")


def image_reference(site: Site, pinned: str) -> str:
    """Return the full name of an image: registry, repository, digest."""
    return f"{registry_address(site)}/{image_repository(pinned)}@{digest_of(pinned)}"
