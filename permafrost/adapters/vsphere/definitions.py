"""pyvmomi without the types of services that are not vCenter's own API.

It defines those of vSAN's health, storage profiles and policies, virtual disks and agents when it
is imported, a quarter of the time that this takes. Each is asked at an address of its own, and by
nobody here. pyvmomi goes on where a module of definitions is not there: those are not, for it.
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
