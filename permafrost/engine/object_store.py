"""The key and the authority of the object store: the site file's, or the bundled one's own."""

from __future__ import annotations

from permafrost.engine.secrets import own_secret
from permafrost.site.load import LoadedSite
from permafrost.site.object_store import ObjectStore

OWN_SECRET = "object-store"  # noqa: S105  (the name of a file)


def external_store(loaded: LoadedSite) -> ObjectStore | None:
    """Return the object store that the site file names; None where it is bundled."""
    knowledge = loaded.site.knowledge
    return None if knowledge is None else knowledge.milvus.object_store


def object_store_secret(loaded: LoadedSite) -> str:
    """Return the secret key with which Milvus writes; the bundled store's is made when missing."""
    store = external_store(loaded)
    if store is None:
        return own_secret(loaded.state_dir, OWN_SECRET)
    return loaded.resolve(store.secret_key_file).read_text(encoding="utf-8").strip()


def object_store_ca(loaded: LoadedSite) -> str:
    """Return the only authority that is trusted for it, in PEM; empty for the public ones."""
    store = external_store(loaded)
    if store is None or store.ca_file is None:
        return ""
    return loaded.resolve(store.ca_file).read_text(encoding="utf-8")
