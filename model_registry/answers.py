"""What a registry answers as JSON: an object of the expected shape, or one clear error.

What stands before a registry, or at its old address, may answer a page of HTML with status 200.
"""

from __future__ import annotations

import json
from typing import Any

from model_registry.errors import RegistryError

_CODE = "REGISTRY_ANSWER_INVALID"
_HINT = "does the address name the registry, or a page or proxy before it?"


def object_of(content: bytes, what: str, code: str = _CODE) -> dict[str, Any]:
    """Return the object that an answer is. Raises RegistryError with ``code`` where it is none."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        page = content[:1024].lstrip().startswith(b"<")
        came = "a page of HTML or XML" if page else f"no JSON, of {len(content)} bytes"
        raise RegistryError(code, f"{what} is {came}", _HINT) from error
    if not isinstance(document, dict):
        raise RegistryError(code, f"{what} is no JSON object", _HINT)
    return document


def entries_of(content: bytes, what: str) -> list[dict[str, Any]]:
    """Return the descriptors that an index lists, each with its digest."""
    listed = object_of(content, what).get("manifests")
    if listed is None:
        return []
    if not isinstance(listed, list) or not all(_is_descriptor(one) for one in listed):
        raise _invalid(f"{what} is no index of manifests")
    return listed


def tags_of(content: bytes, what: str) -> list[str]:
    """Return the tags that a page of them lists."""
    listed = object_of(content, what).get("tags")
    if listed is None:
        return []
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise _invalid(f"{what} is no list of tags")
    return listed


def _is_descriptor(one: Any) -> bool:
    return isinstance(one, dict) and isinstance(one.get("digest"), str)


def _invalid(why: str) -> RegistryError:
    return RegistryError(_CODE, why, _HINT)
