"""pyvmomi's namespaces, as the values they are: it makes its types at run time.

For a type checker they are `Any`; every other module of the plugin takes them from here.
"""

from __future__ import annotations

from typing import Any

import pyVmomi

vim: Any = pyVmomi.vim
vmodl: Any = pyVmomi.vmodl
