"""Who runs this: the name that goes with every event."""

from __future__ import annotations

import os
import pwd


def person() -> str:
    """Return the account's name, or its number where it has none.

    By the process's own user id: what LOGNAME or USER say can be set by anybody.
    """
    identity = os.getuid()
    try:
        return pwd.getpwuid(identity).pw_name
    except KeyError:
        return f"uid-{identity}"
