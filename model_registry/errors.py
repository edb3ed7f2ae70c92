"""The errors of this package: a stable code, what was seen, what to do."""

from __future__ import annotations


class RegistryError(Exception):
    """Something about a checkpoint, a layout or a registry is not as it must be."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{code}: {message}" + (f" ({hint})" if hint else ""))
        self.code = code
        self.message = message
        self.hint = hint


class RegistryRefused(RegistryError):  # noqa: N818
    """What was asked for is not allowed as things stand; nothing was changed."""
