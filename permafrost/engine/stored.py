"""What stands in a row and cannot be read is an error with a place, never a surprise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from permafrost.errors import Failed, Problem


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Raise Failed (STATE_DAMAGED) where a block cannot read ``what`` the database holds."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failed(
            Problem(
                "STATE_DAMAGED",
                f"what the state folder says of {what} cannot be read: {error}",
                "control.state_dir",
                "the database was edited or cut off: put the copy of your backup there",
            )
        ) from None
