"""The answer of a PropertyCollector, read straight from its XML.

pyvmomi's deserializer does much for every element, and makes an object of every device of every
VM; of a whole datacenter that is most of what an observation costs. Here the same parser runs
through devices that nothing asks for, the others' elements are kept for one object at a time, and
the values are made of pyvmomi's own types. It knows what the traversal asks for and no more:
whatever else it meets is ``UnreadableError``, and then pyvmomi reads the same bytes.
"""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element
from xml.parsers import expat

from permafrost.adapters.vsphere.answer_values import TYPE, UnreadableError, Values

VIM = "urn:vim25 "
OBJECTS, REFERENCE, TOKEN = f"{VIM}objects", f"{VIM}obj", f"{VIM}token"
NAME, VALUE, DEVICE = f"{VIM}name", f"{VIM}val", f"{VIM}VirtualDevice"
WHOLE = frozenset({VALUE, REFERENCE, f"{VIM}missingSet"})
"""What is kept until it ends. Why a property is missing is nobody's business here."""
ANSWERS = (f"{VIM}RetrievePropertiesExResponse", f"{VIM}ContinueRetrievePropertiesExResponse")

Object = tuple[Any, dict[str, Any]]


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
    """The parser's way through one answer.

    ``_open`` are the elements of the value, or reference, that it is in the middle of; what is
    around them is known by its name.
    """

    def __init__(self, stub: Any) -> None:
        self.found: list[Object] = []
        self.token: str | None = None
        self.is_answer = False
        self._prefixes: dict[str, str] = {}
        self._values = Values(stub, self._prefixes)
        self._open: list[Element] = []
        self._data: list[str] = []
        self._reference: Any = None
        self._row: dict[str, Any] = {}
        self._path = ""
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
        self._data.clear()
        if self._open:
            if tag == DEVICE and not self._values.is_kept(attributes.get(TYPE)):
                self.parser.StartElementHandler = self.parser.CharacterDataHandler = None
                self.parser.EndElementHandler = self._passed
                return
            element = Element(tag, attributes)
            self._open[-1].append(element)
            self._open.append(element)
        elif tag in WHOLE:
            self._open.append(Element(tag, attributes))
        elif tag == OBJECTS:
            self._reference, self._row = None, {}
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
            if self._open:
                return
            if tag == VALUE:
                self._row[self._path] = self._values.value(element, object)
            elif tag == REFERENCE:
                self._reference = self._values.reference(element)
        elif tag == NAME:
            self._path = "".join(self._data)
            self._row[self._path] = None
        elif tag == OBJECTS:
            if self._reference is None:
                raise UnreadableError("properties of no object")
            self.found.append((self._reference, self._row))
        elif tag == TOKEN:
            self.token = "".join(self._data) or None
