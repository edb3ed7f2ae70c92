"""What can go wrong in an operation, in the words the engine will show."""

from __future__ import annotations

from typing import Any


class ProviderError(Exception):
    """An operation failed; nothing of it is to be kept."""


class NotFoundError(ProviderError):
    """A thing that was asked for by name or id is not in the inventory."""


class CancelledError(ProviderError):
    """The engine asked to stop, or went away."""

    def __init__(self) -> None:
        super().__init__("the operation was cancelled")


class PartialFailureError(ProviderError):
    """The resource exists although the operation failed: the engine has to keep this state."""

    def __init__(self, message: str, resource_id: str, state: dict[str, Any]) -> None:
        super().__init__(message)
        self.resource_id = resource_id
        self.state = state


def numbered(message: str) -> str:
    """Return the message in the form of an error list of one, as the provider words it."""
    return f"1 error occurred:\n\t* {message}\n\n"
