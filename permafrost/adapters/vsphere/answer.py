"""The answer of a PropertyCollector, read straight from its XML.

pyvmomi's deserializer does much for every element, and makes an object of every device of every
VM; of a whole datacenter that is most of what an observation costs. Here the same parser runs
through devices that nothing asks for, the others' elements are kept for one object at a time, and
the values are made of pyvmomi's own types. It knows what the traversal asks for and no more:
whatever else it meets is ``UnreadableError``, and then pyvmomi reads the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element
from xml.parsers import expat

from pyVmomi import Iso8601, VmomiSupport, vim

support: Any = VmomiSupport  # pyvmomi's functions carry no types
iso8601: Any = Iso8601

VIM = "urn:vim25 "
OBJECTS, DEVICE = f"{VIM}objects", f"{VIM}VirtualDevice"
TYPE = "http://www.w3.org/2001/XMLSchema-instance type"
ANSWERS = (f"{VIM}RetrievePropertiesExResponse", f"{VIM}ContinueRetrievePropertiesExResponse")
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
KEPT = (vim.vm.device.VirtualPCIPassthrough, vim.vm.device.VirtualDisk)
"""Devices that a row carries; all others are passed over."""

Read = Callable[[Element], Any]
Object = tuple[Any, dict[str, Any]]


class UnreadableError(Exception):
    """The answer holds something that only pyvmomi reads."""


def read_answer(text: bytes, stub: Any) -> tuple[list[Object], str | None]:
    """Return objects with their properties, and the token of the next page where there is one.

    References belong to ``stub``. Raises UnreadableError where pyvmomi has to read instead.
    """
    run = _Run(stub)
    try:
        run.parser.Parse(text, True)
    except expat.ExpatError as error:
        raise UnreadableError(str(error)) from None
    if not run.is_answer:
        raise UnreadableError("no answer of a PropertyCollector")
    return run.found, run.token


class _Run:
    """The parser's way through one answer: ``open`` is the path to where it is."""

    def __init__(self, stub: Any) -> None:
        self.found: list[Object] = []
        self.token: str | None = None
        self.is_answer = False
        self._prefixes: dict[str, str] = {}
        self._values = _Values(stub, self._prefixes)
        self._open: list[Element] = []
        self._data: list[str] = []
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartNamespaceDeclHandler = self._bind
        self._listen()

    def _listen(self) -> None:
        self.parser.StartElementHandler = self._start
        self.parser.CharacterDataHandler = self._data.append
        self.parser.EndElementHandler = self._end

    def _bind(self, prefix: str | None, namespace: str) -> None:
        if self._prefixes.setdefault(prefix or "", namespace) != namespace:
            raise UnreadableError(f"{prefix} stands for several namespaces")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == DEVICE and not self._values.is_kept(attributes.get(TYPE)):
            self.parser.StartElementHandler = self.parser.CharacterDataHandler = None
            self.parser.EndElementHandler = self._passed
            return
        self._data.clear()
        if self._open:
            element = Element(tag, attributes)
            self._open[-1].append(element)
            self._open.append(element)
        elif tag == OBJECTS:
            self._open.append(Element(tag, attributes))
        elif tag in ANSWERS:
            self.is_answer = True

    def _passed(self, tag: str) -> None:
        if tag == DEVICE:
            self._listen()

    def _end(self, tag: str) -> None:
        if self._open:
            element = self._open.pop()
            if self._data:
                element.text = "".join(self._data)
                self._data.clear()
            if not self._open:
                self.found.append(self._values.content(element))
        elif tag == f"{VIM}token":
            self.token = "".join(self._data) or None


class _Values:
    """Values of one answer. What reads a type is worked out when the type is first met."""

    def __init__(self, stub: Any, prefixes: dict[str, str]) -> None:
        self._stub = stub
        self._prefixes = prefixes
        self._kinds: dict[tuple[str | None, Any], Any] = {}
        self._reads: dict[Any, Read] = {}

    def content(self, item: Element) -> Object:
        """Return the reference of an object, and its properties by their paths."""
        reference, values = None, {}
        for child in item:
            if child.tag == f"{VIM}propSet":
                path, *value = child
                values[path.text or ""] = self._value(value[0], object) if value else None
            elif child.tag == f"{VIM}obj":
                reference = self._reference(child)
        if reference is None:
            raise UnreadableError("properties of no object")
        return reference, values

    def is_kept(self, name: str | None) -> bool:
        """Say whether a device of this type is read."""
        return issubclass(self._kind(name, vim.vm.device.VirtualDevice), KEPT)

    def _value(self, element: Element, declared: Any) -> Any:
        kind = self._kind(element.get(TYPE), declared)
        read = self._reads.get(kind)
        if read is None:
            read = self._reads[kind] = self._read_of(kind)
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
            return self._reference
        if issubclass(kind, list):
            return self._array_of(kind)
        if issubclass(kind, support.DataObject) and not issubclass(kind, Exception):
            return self._data_of(kind)
        raise UnreadableError(f"type {kind.__name__}")

    def _reference(self, element: Element) -> Any:
        name = element.get("type")
        if name is None or element.get("serverGuid"):
            raise UnreadableError("a reference without a type, or of another server")
        key = name, support.ManagedObject
        if key not in self._kinds:
            self._kinds[key] = self._resolved(name)
        return self._kinds[key](element.text or "", self._stub)

    def _array_of(self, kind: Any) -> Read:
        item = kind.Item
        return lambda element: kind([self._value(child, item) for child in element])

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
                value = self._value(child, declared)
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
