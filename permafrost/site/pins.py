"""Where in the site's registry a pinned name lies."""

from __future__ import annotations


def digest_of(pinned: str) -> str:
    """Return the digest of ``name@sha256:…``."""
    return pinned.partition("@")[2]


def checkpoint_repository(pinned: str) -> str:
    """Return the repository of a checkpoint."""
    return _in_folder("checkpoints", pinned.partition("@")[0])


def image_repository(pinned: str) -> str:
    """Return the repository of a container image."""
    return _in_folder("images", pinned.partition("@")[0])


def _in_folder(folder: str, name: str) -> str:
    return name if name.startswith(f"{folder}/") else f"{folder}/{name}"
