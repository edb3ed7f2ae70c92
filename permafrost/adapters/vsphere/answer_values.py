"""Values of a PropertyCollector's answer: elements, made into pyvmomi's own types.

What pyvmomi's deserializer would make of an element is made here, or UnreadableError raised.
What a type is and has is worked out once an answer, not for each value.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element

from pyVmomi import Iso8601, VmomiSupport, vim

support: Any = VmomiSupport  # pyvmomi's functions carry no types
iso8601: Any = Iso8601

TYPE = "http://www.w3.org/2001/XMLSchema-instance type"
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
KEPT = (vim.vm.device.VirtualPCIPassthrough, vim.vm.device.VirtualDisk)
"""Devices that a row carries; all others are passed over."""

Read = Callable[[Element], Any]


class UnreadableError(Exception):
    """The answer holds something that only pyvmomi reads."""


class Values:
    """Values of one answer. What reads a type is worked out when the type is first met."""

    def __init__(self, stub: Any, prefixes: dict[str, str]) -> None:
        self._stub = stub
        self._prefixes = prefixes
        self._kinds: dict[tuple[str | None, Any], Any] = {}
        self._reads: dict[tuple[str | None, Any], Read] = {}

    def is_kept(self, name: str | None) -> bool:
        """Say whether a device of this type is read."""
        return issubclass(self._kind(name, vim.vm.device.VirtualDevice), KEPT)

    def value(self, element: Element, declared: Any) -> Any:
        """Return the value of an element; ``declared`` is the type that its place says."""
        key = element.get(TYPE), declared
        read = self._reads.get(key)
        if read is None:
            read = self._reads[key] = self._read_of(self._kind(*key))
        return read(element)

    def _kind(self, name: str | None, declared: Any) -> Any:
        """Return the type of an element: the one it names, or the one of its place."""
        key = name, declared
        if key not in self._kinds:
            is_dynamic = declared is type  # what names a type is always text
            self._kinds[key] = self._resolved(name) if name and not is_dynamic else declared
        return self._kinds[key]

    def _resolved(self, name: str) -> Any:
        prefix, _, local = name.rpartition(":")
        if local.endswith("ManagedObjectReference"):
            local = local.removesuffix("Reference")
        try:
            kind = support.GetWsdlType(self._prefixes.get(prefix), local)
        except KeyError:
            raise UnreadableError(f"type {name}") from None
        return support.GetCompatibleType(kind, self._stub.version)

    def _read_of(self, kind: Any) -> Read:
        """Return what reads elements of a type."""
        if kind is bool:
            return _boolean
        if kind is str:
            return _text
        if kind is datetime:
            return _moment
        if kind is type:
            return lambda element: self._resolved(element.text) if element.text else None
        if issubclass(kind, support.Enum):
            return lambda element: _member(kind, element.text or "")
        if issubclass(kind, int | float | str):
            return lambda element: _made(kind, element.text or "")
        if issubclass(kind, support.ManagedObject):
            return self.reference
        if issubclass(kind, list):
            return self._array_of(kind)
        if issubclass(kind, support.DataObject) and not issubclass(kind, Exception):
            return self._data_of(kind)
        raise UnreadableError(f"type {kind.__name__}")

    def reference(self, element: Element) -> Any:
        """Return the managed object that an element names."""
        name = element.get("type")
        if name is None or element.get("serverGuid"):
            raise UnreadableError("a reference without a type, or of another server")
        key = name, support.ManagedObject
        if key not in self._kinds:
            self._kinds[key] = self._resolved(name)
        return self._kinds[key](element.text or "", self._stub)

    def _array_of(self, kind: Any) -> Read:
        item = kind.Item
        return lambda element: kind([self.value(child, item) for child in element])

    def _data_of(self, kind: Any) -> Read:
        """Return what makes a data object: as pyvmomi makes one, its settings worked out once."""
        empty = vars(kind())
        plain = {name: value for name, value in empty.items() if not isinstance(value, list)}
        arrays = {name: type(value) for name, value in empty.items() if isinstance(value, list)}
        places: dict[str, tuple[str, Any, bool]] = {}

        def place(tag: str) -> tuple[str, Any, bool]:
            try:
                info = kind._GetPropertyInfo(tag.rpartition(" ")[2])
            except AttributeError:
                raise UnreadableError(f"{tag} of {kind.__name__}") from None
            is_array = issubclass(info.type, list)
            return info.name, info.type.Item if is_array else info.type, is_array

        def read(element: Element) -> Any:
            made = kind.__new__(kind)
            values = vars(made)
            values.update(plain)
            for name, array in arrays.items():
                values[name] = array()
            for child in element:
                if child.tag not in places:
                    places[child.tag] = place(child.tag)
                name, declared, is_array = places[child.tag]
                value = self.value(child, declared)
                if is_array and not isinstance(value, list):
                    values[name].append(value)
                else:
                    values[name] = value
            return made

        return read


def _text(element: Element) -> str:
    return element.text or ""


def _boolean(element: Element) -> bool:
    try:
        return BOOLEANS[(element.text or "").lower()]
    except KeyError:
        raise UnreadableError(f"{element.text} is no truth") from None


def _moment(element: Element) -> datetime:
    found: datetime | None = iso8601.ParseISO8601(element.text or "")
    if found is None:
        raise UnreadableError(f"{element.text} is no time")
    return found


def _made(kind: Any, text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise UnreadableError(f"{text} is no {kind.__name__}") from None


def _member(kind: Any, text: str) -> Any:
    try:
        return getattr(kind, text)
    except AttributeError:
        raise UnreadableError(f"{text} is no {kind.__name__}") from None
