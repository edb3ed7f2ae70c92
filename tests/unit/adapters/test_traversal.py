"""One object is looked for by its name: asked page by page, and what is left is given up."""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any

import pytest
from pyVmomi import SoapAdapter, vim, vmodl

from permafrost.adapters.vsphere.tasks import find
from permafrost.errors import Failed
from tests.unit.adapters.test_answer import VERSION, envelope

PAGES = (("lab-chat-01", "lab-chat-02"), ("lab-chat-03",))
METHOD = re.compile(rb"<soapenv:Body><(\w+) ")
DONE = '<{0}Response xmlns="urn:vim25">{1}</{0}Response>'
FAULT = (
    "<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>no</faultstring><detail>"
    '<InvalidArgumentFault xmlns="urn:vim25" xsi:type="InvalidArgument"/></detail></soapenv:Fault>'
)


class Paging:
    """A vCenter that answers in pages, and keeps a note of the one that was not asked for."""

    def __init__(self, *, forgets: bool = False) -> None:
        self.status, self.reason = 200, ""
        self.asked: list[str] = []
        self.kept: set[str] = set()
        self._forgets = forgets

    def request(self, _: str, __: str, body: Any = b"", *___: Any) -> None:
        found = METHOD.search(body)
        assert found, body
        self.asked.append(found[1].decode())
        self.status = 200
        match self.asked[-1]:
            case "CreateContainerView":
                view = '<returnval type="ContainerView">view-1</returnval>'
                text = DONE.format("CreateContainerView", view)
            case "RetrievePropertiesEx":
                self.kept = {"page-2"}
                text = self._page("RetrievePropertiesEx", PAGES[0], "page-2")
            case "ContinueRetrievePropertiesEx":
                self.kept = set()
                text = self._page("ContinueRetrievePropertiesEx", PAGES[1], "")
            case "CancelRetrievePropertiesEx":
                assert b">page-2<" in body
                self.kept = set()
                text = DONE.format("CancelRetrievePropertiesEx", "")
                if self._forgets:
                    self.status, text = 500, FAULT
            case method:
                text = DONE.format(method, "")
        self._text = BytesIO(envelope(text))

    def getresponse(self) -> Paging:
        return self

    def read(self, size: int = -1) -> bytes:
        return self._text.read(size)

    def getheader(self, _: str, default: str = "") -> str:
        return default

    @staticmethod
    def _page(method: str, names: tuple[str, ...], token: str) -> str:
        objects = "".join(
            f'<objects><obj type="VirtualMachine">{name}-moid</obj><propSet><name>name</name>'
            f'<val xsi:type="xsd:string">{name}</val></propSet></objects>'
            for name in names
        )
        more = f"<token>{token}</token>" if token else ""
        return DONE.format(method, f"<returnval>{more}{objects}</returnval>")


class Stub(SoapAdapter.SoapStubAdapter):  # type: ignore[misc]
    """pyvmomi's own, whose only connection is given."""

    def __init__(self, connection: Paging) -> None:
        super().__init__(host="127.0.0.1", version=VERSION)
        self.connection = connection

    def GetConnection(self) -> Paging:  # noqa: N802
        return self.connection


def content(connection: Paging) -> Any:
    stub = Stub(connection)
    return vim.ServiceInstanceContent(
        rootFolder=vim.Folder("group-d1", stub),
        viewManager=vim.view.ViewManager("ViewManager", stub),
        propertyCollector=vmodl.query.PropertyCollector("propertyCollector", stub),
    )


@pytest.mark.parametrize("forgets", [False, True], ids=["", "a page that vCenter has forgotten"])
def test_pages_that_nobody_asks_for_are_given_up(forgets: bool) -> None:
    vcenter = Paging(forgets=forgets)
    assert find(content(vcenter), vim.VirtualMachine, "lab-chat-01")._moId == "lab-chat-01-moid"
    assert vcenter.kept == set()
    assert vcenter.asked[1:] == [
        "RetrievePropertiesEx",
        "CancelRetrievePropertiesEx",
        "DestroyView",
    ]


def test_of_the_last_page_nothing_is_left_to_give_up() -> None:
    vcenter = Paging()
    assert find(content(vcenter), vim.VirtualMachine, "lab-chat-03")._moId == "lab-chat-03-moid"
    with pytest.raises(Failed, match="no such VM"):
        find(content(vcenter), vim.VirtualMachine, "lab-chat-04")
    assert "CancelRetrievePropertiesEx" not in vcenter.asked
    assert vcenter.kept == set()
