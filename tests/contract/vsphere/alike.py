"""Whether two readers of one answer have made the same of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyVmomi import VmomiSupport

from permafrost.adapters.vsphere.answer import Object
from permafrost.adapters.vsphere.answer_values import KEPT
from permafrost.adapters.vsphere.exchange import objects_of
from permafrost.adapters.vsphere.traversal import DEVICES

support: Any = VmomiSupport


def differences(ours: list[Object], theirs: Any) -> Iterator[str]:
    """Yield where our objects differ from pyvmomi's result, in type or value.

    Devices that a row does not carry are no difference.
    """
    found, _ = objects_of(theirs)
    if len(ours) != len(found):
        yield f"{len(ours)} objects, not {len(found)}"
    for (reference, row), (other, wanted) in zip(ours, found, strict=False):
        at = str(other._moId)
        yield from _between(reference, other, at)
        if row.keys() != wanted.keys():
            yield f"{at}: {row.keys() ^ wanted.keys()}"
        for path in row.keys() & wanted.keys():
            value = wanted[path]
            if path == DEVICES:
                value = type(value)([d for d in value if isinstance(d, KEPT)])
            yield from _between(row[path], value, f"{at} {path}")


def _between(one: Any, other: Any, at: str) -> Iterator[str]:
    if type(one) is not type(other):
        yield f"{at}: {type(one)}, not {type(other)}"
    elif isinstance(one, support.ManagedObject):
        mine, its = ((o._moId, o._stub, o._serverGuid) for o in (one, other))
        if mine != its:
            yield f"{at}: {mine}, not {its}"
    elif isinstance(one, support.DataObject):
        mine, its = vars(one), vars(other)
        if mine.keys() != its.keys():
            yield f"{at}: {mine.keys() ^ its.keys()}"
        for name in mine.keys() & its.keys():
            yield from _between(mine[name], its[name], f"{at}.{name}")
    elif isinstance(one, list):
        if len(one) != len(other):
            yield f"{at}: {len(one)}, not {len(other)}"
        for index, (a, b) in enumerate(zip(one, other, strict=False)):
            yield from _between(a, b, f"{at}[{index}]")
    elif one != other:
        yield f"{at}: {one!r}, not {other!r}"
