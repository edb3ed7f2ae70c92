"""The model registry, opened for the operator; its errors become ours here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_registry.errors import RegistryError, RegistryRefused
from model_registry.registry import Registry
from permafrost.errors import Failed, Problem, Refused


@contextmanager
def translated() -> Iterator[None]:
    """Translate the registry's errors in a block, or in a function that it decorates."""
    try:
        yield
    except RegistryRefused as error:
        raise Refused(Problem(error.code, error.message, hint=error.hint)) from None
    except RegistryError as error:
        raise Failed(Problem(error.code, error.message, hint=error.hint)) from None


@translated()
def open_models(home: Path, *, create: bool = False) -> Registry:
    """Open the registry of a folder; events carry the name of who runs this."""
    return Registry.open(home, create=create)
