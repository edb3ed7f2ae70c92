"""The one error of the node: a stable code, what was seen, what to do."""

from __future__ import annotations


class NodeError(Exception):
    """Something is not as it must be; nothing is served because of it."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{code}: {message}" + (f" ({hint})" if hint else ""))
        self.code = code
        self.message = message
        self.hint = hint
