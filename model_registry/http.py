"""httpx without its own command line.

httpx (0.20 and later) imports that when it is imported, where the libraries that it draws with are
there, as ours are: more than half of its time (0.18 s, 0.07 without), and nobody calls it. None in
``sys.modules`` makes the import fail, which httpx expects; it is taken back once httpx is there.
Where httpx was imported before, or has no such module, only time is lost.
"""

from __future__ import annotations

import sys
from typing import cast

COMMAND_LINE = "httpx._main"

_is_hidden = COMMAND_LINE not in sys.modules and "httpx" not in sys.modules
if _is_hidden:
    cast("dict[str, None]", sys.modules)[COMMAND_LINE] = None
try:
    import httpx
finally:
    if _is_hidden:
        del sys.modules[COMMAND_LINE]

__all__ = ["httpx"]
