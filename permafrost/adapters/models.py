"""The model registry, opened for the operator; its errors become ours here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from model_registry.client import RegistryClient
from model_registry.errors import RegistryError, RegistryRefused, not_stored
from model_registry.http import httpx
from model_registry.signatures import Policy
from model_registry.signing import Trusted
from permafrost.errors import Failed, Problem, Refused
from permafrost.pki import registry_ca
from permafrost.site.load import LoadedSite

if TYPE_CHECKING:
    from model_registry.registry import Registry


@contextmanager
def translated() -> Iterator[None]:
    """Translate the registry's errors in a block, or in a function that it decorates.

    A file that cannot be read or written is one too (``STORE_FAILED``, ``DISK_FULL``).
    """
    try:
        yield
    except RegistryRefused as error:
        raise Refused(Problem(error.code, error.message, hint=error.hint)) from None
    except RegistryError as error:
        raise Failed(Problem(error.code, error.message, hint=error.hint)) from None
    except OSError as error:
        told = not_stored(str(error.filename or "a file"), error)
        raise Failed(Problem(told.code, told.message, hint=told.hint)) from None


def policy_of(loaded: LoadedSite) -> Policy:
    """Return what the site demands of signatures."""
    wanted = loaded.site.registry.signatures
    if wanted is None:
        return Policy()
    signers = (Trusted(n, loaded.resolve(file)) for n, file in sorted(wanted.signers.items()))
    return Policy(tuple(signers), frozenset(wanted.required_for))


def open_remote(
    loaded: LoadedSite, *, transport: httpx.BaseTransport | None = None
) -> RegistryClient:
    """Return a client of the site's OCI registry; ``transport`` stands in for the network."""
    registry = loaded.site.registry
    return RegistryClient(
        registry.url,
        username=registry.username,
        password=loaded.resolve(registry.password_file).read_text("utf-8").strip(),
        ca_file=registry_ca(loaded),
        transport=transport,
    )


@translated()
def open_models(home: Path, *, create: bool = False) -> Registry:
    """Open the registry of a folder; events carry the name of who runs this."""
    from model_registry.registry import Registry

    return Registry.open(home, create=create)
