"""The lab's errors: shown to a person with a stable code and what to do."""

from __future__ import annotations

from permafrost.errors import ExitStatus, Failed, Problem


class LabError(Failed):
    """Something in the lab did not work (exit status 4)."""

    def __init__(self, code: str, message: str, hint: str = "", path: str = "") -> None:
        super().__init__(Problem(code=code, message=message, path=path, hint=hint))


class LabRefused(LabError):  # noqa: N818
    """Nothing was done in the lab, and this is why (exit status 3)."""

    exit_status = ExitStatus.REFUSED
