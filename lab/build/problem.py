"""The one error of the build: a stable code, what happened, and what to do about it."""

from __future__ import annotations


class BuildError(Exception):
    """A part could not be built. ``hint`` says what to do next."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{code}: {message}" + (f" ({hint})" if hint else ""))
        self.code = code
        self.message = message
        self.hint = hint
