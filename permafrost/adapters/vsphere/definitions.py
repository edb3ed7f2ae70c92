"""pyvmomi without the types of services that are not vCenter's own API.

It defines those of vSAN's health, storage profiles and policies, virtual disks and agents when it
is imported, a quarter of the time that this takes. Each is asked at an address of its own, and by
nobody here; vCenter's own types name none of theirs (a test holds each release against that).

pyvmomi (8.0.3 to 9.1) imports each module of definitions by itself and goes on where one is not
there. None in ``sys.modules`` makes such an import fail; it is taken back once pyvmomi is there.
A release without a module of that name loses nothing by this, and a new module of others is
defined: only time is lost. Where pyvmomi was imported before, all of it stays defined. What asks
for a hidden type is told so by an AttributeError.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import cast

OF_OTHERS = tuple(
    f"pyVmomi._typeinfo_{name}" for name in ("eam", "pbm", "sms", "vsanhealth", "vslm")
)

if "pyVmomi" not in sys.modules:
    hidden = dict.fromkeys(name for name in OF_OTHERS if name not in sys.modules)
    sys.modules.update(cast("Mapping[str, ModuleType]", hidden))
    try:
        import pyVmomi  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]
