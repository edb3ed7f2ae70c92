"""What a site file's ``control.pulumi_backend`` says: a folder here, or a place elsewhere."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

FILE = "file://"


def folder_named(url: str) -> str | None:
    """Return the folder that a URL names, as it is written; None when it names another place.

    ``file://state`` is a folder beside the site file: such a URL has no host, and the engine too
    reads it as a path.
    """
    if not url.startswith(FILE):
        return None
    return unquote(url.removeprefix(FILE).partition("?")[0])


def query_of(url: str) -> str:
    """Return a URL's options with their question mark, as the engine understands them."""
    _, mark, options = url.partition("?")
    return mark + options


def without_credentials(url: str) -> str:
    """Return a URL as it may be shown: ``postgres://user:password@host`` names a password."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
