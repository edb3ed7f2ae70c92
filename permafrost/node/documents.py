"""What somebody else wrote as JSON: an object of the expected shape, or one clear error.

A proxy's page of HTML, a list where an object belongs, nesting without end: whoever reads it is
told what came, by a stable code, and never by an error of the parser's.
"""

from __future__ import annotations

import json
from typing import Any

from .errors import NodeError

_MALFORMED = (ValueError, RecursionError)
_HINT = "a proxy answers for the registry, or its store is damaged: push it again"


def json_object(content: bytes, code: str, what: str, hint: str = _HINT) -> dict[str, Any]:
    """Return the object that ``content`` is. Raises NodeError with ``code`` where it is none."""
    try:
        document = json.loads(content)
    except _MALFORMED as error:
        page = content[:1024].lstrip().startswith(b"<")
        came = "a page of HTML or XML" if page else f"no JSON, of {len(content)} bytes"
        raise NodeError(code, f"{what} is {came}", hint) from error
    if not isinstance(document, dict):
        raise NodeError(code, f"{what} is no JSON object", hint)
    return document


def objects_in(document: dict[str, Any], key: str) -> list[dict[str, Any]] | None:
    """Return the list of objects under a key, empty where it is absent; None where it is none."""
    listed = document.get(key)
    if listed is None:
        return []
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        return None
    return listed
