"""The facts of a checkpoint, and how those of several files add up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from model_registry.errors import RegistryError

_LARGEST_JSON = 64 << 20


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known; empty or None where no file says it.

    ``parameters`` counts weights, ``context_tokens`` is the longest context, ``precision`` the
    type that most weights have, ``licence`` an SPDX identifier or what stands in its place.
    """

    architecture: str = ""
    family: str = ""
    format: str = ""
    parameters: int | None = None
    precision: str = ""
    quantisation: str = ""
    context_tokens: int | None = None
    tokenizer: str = ""
    licence: str = ""

    def beside(self, other: Facts) -> Facts:
        """Return these facts, completed by another file's."""
        return Facts(
            **{f.name: getattr(self, f.name) or getattr(other, f.name) for f in fields(self)}
        )


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object of a file; nothing where it is another value."""
    if path.stat().st_size > _LARGEST_JSON:
        raise invalid(path.name, "a JSON file over 64 MiB")
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise invalid(path.name, str(error)) from error
    return document if isinstance(document, dict) else {}


def text(document: Mapping[str, Any], *keys: str) -> str:
    """Return the first of the keys that holds a text."""
    return next((v for k in keys if isinstance(v := document.get(k), str) and v), "")


def count(document: Mapping[str, Any], *keys: str) -> int | None:
    """Return the first of the keys that holds a number that can be a count of tokens."""
    for key in keys:
        value = document.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 40:
            return value
    return None


def within(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the object under a key; nothing where there is none."""
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def invalid(name: str, why: str) -> RegistryError:
    """Return the error about a file that is broken."""
    return RegistryError("METADATA_INVALID", f"{name}: {why}", "is the file whole?")
