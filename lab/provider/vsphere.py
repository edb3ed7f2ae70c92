"""pyvmomi's namespaces, as the values they are: it makes its types at run time.

For a type checker they are `Any`; every other module of the plugin takes them from here.
"""

from __future__ import annotations

from typing import Any

from pyVim import connect
from pyVmomi import vim as _vim
from pyVmomi import vmodl as _vmodl

vim: Any = _vim
vmodl: Any = _vmodl
smart_connect: Any = connect.SmartConnect
