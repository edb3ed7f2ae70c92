"""The errors of this package: a stable code, what was seen, what to do."""

from __future__ import annotations

import errno

_FULL = (errno.ENOSPC, errno.EDQUOT)


class RegistryError(Exception):
    """Something about a checkpoint, a layout or a registry is not as it must be."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{code}: {message}" + (f" ({hint})" if hint else ""))
        self.code = code
        self.message = message
        self.hint = hint


class RegistryRefused(RegistryError):  # noqa: N818
    """What was asked for is not allowed as things stand; nothing was changed."""


def not_stored(what: str, error: OSError) -> RegistryError:
    """Return the error about a write that failed: DISK_FULL, or STORE_FAILED for any other."""
    said = f"{what}: {error.strerror or error}"
    if error.errno in _FULL:
        return RegistryError(
            "DISK_FULL", said, "`gc --retired` frees room; nothing half is visible, run it again"
        )
    return RegistryError("STORE_FAILED", said, "may you read and write there?")
