"""A traversal's answer: what is read here, what is left to pyvmomi, what is raised."""

from __future__ import annotations

import gzip
from http.client import HTTPException
from typing import Any

import pytest
from pyVmomi import SoapAdapter, vim, vmodl

from permafrost.adapters.vsphere.answer import read_answer
from permafrost.adapters.vsphere.answer_values import UnreadableError
from permafrost.adapters.vsphere.exchange import ask

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
VERSION = "vim.version.v8_0_2_0"
DEVICES = (
    '<VirtualDevice xsi:type="VirtualKeyboard"><key>600</key></VirtualDevice>'
    '<VirtualDevice xsi:type="VirtualPCIPassthrough"><key>13000</key>'
    '<backing xsi:type="VirtualPCIPassthroughDeviceBackingInfo"><deviceName/>'
    "<id>0000:3b:00.0</id><deviceId>2330</deviceId><systemId>BYPASS</systemId>"
    "<vendorId>4318</vendorId></backing></VirtualDevice>"
    '<VirtualDevice xsi:type="VirtualMachineVideoCard"><key>500</key></VirtualDevice>'
)


def envelope(body: str) -> bytes:
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="{SOAP}" '
        'xmlns:xsd="http://www.w3.org/2001/XMLSchema" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"<soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    )
    return text.encode()


def answer(kind: str, value: str, after: str = "") -> bytes:
    """Return the answer in which one VM has one property."""
    return envelope(
        '<RetrievePropertiesExResponse xmlns="urn:vim25"><returnval><objects>'
        '<obj type="VirtualMachine">vm-1</obj><propSet><name>p</name>'
        f'<val xsi:type="{kind}">{value}</val></propSet></objects>{after}</returnval>'
        "</RetrievePropertiesExResponse>"
    )


class Connection:
    """A server that answers once: with text, or with an error."""

    def __init__(self, text: bytes, status: int, encoding: str, error: Exception | None) -> None:
        self._text, self.status, self._encoding, self._error = text, status, encoding, error
        self.reason = "said so"
        self.is_closed = False

    def request(self, *_: Any) -> None:
        if self._error:
            raise self._error

    def getresponse(self) -> Connection:
        return self

    def read(self) -> bytes:
        return self._text

    def getheader(self, _: str, default: str) -> str:
        return self._encoding or default

    def close(self) -> None:
        self.is_closed = True


class Stub(SoapAdapter.SoapStubAdapter):  # type: ignore[misc]
    """pyvmomi's own, whose only connection is given."""

    def __init__(
        self,
        text: bytes = b"",
        status: int = 200,
        encoding: str = "",
        error: Exception | None = None,
    ) -> None:
        super().__init__(host="127.0.0.1", version=VERSION)
        self.connection = Connection(text, status, encoding, error)

    def GetConnection(self) -> Connection:  # noqa: N802
        return self.connection


def only(text: bytes) -> Any:
    ((_, row),), _ = read_answer(text, Stub())
    return row["p"]


def asked(stub: Stub) -> tuple[list[Any], str | None]:
    collector = vmodl.query.PropertyCollector("pc", stub)
    return ask(collector, "ContinueRetrievePropertiesEx", "token-1")


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        ("xsd:string", "a &lt;b&gt; &amp; ü <![CDATA[<c>]]>", "a <b> & ü <c>"),
        ("xsd:string", "", ""),
        ("xsd:boolean", "1", True),
        ("xsd:boolean", "false", False),
        ("xsd:long", "-7", -7),
        ("VirtualMachinePowerState", "poweredOn", "poweredOn"),
        ("ArrayOfString", "<string>a</string><string/>", ["a", ""]),
    ],
)
def test_plain_values(kind: str, value: str, wanted: Any) -> None:
    assert only(answer(kind, value)) == wanted


def test_references_belong_to_the_session() -> None:
    stub = Stub()
    ((vm, row),), token = read_answer(
        answer(
            "ArrayOfManagedObjectReference",
            '<ManagedObjectReference type="Datastore">ds-1</ManagedObjectReference>',
            "<token>t-2</token>",
        ),
        stub,
    )
    assert (type(vm), vm._moId, token) == (vim.VirtualMachine, "vm-1", "t-2")
    (store,) = row["p"]
    assert (type(store), store._moId, store._GetStub()) == (vim.Datastore, "ds-1", stub)


def test_only_devices_that_somebody_asks_for() -> None:
    (device,) = only(answer("ArrayOfVirtualDevice", DEVICES))
    assert isinstance(device, vim.vm.device.VirtualPCIPassthrough)
    assert (device.key, device.controllerKey) == (13000, None)
    assert (device.backing.id, device.backing.vendorId) == ("0000:3b:00.0", 4318)


def test_why_a_property_is_missing_changes_nothing() -> None:
    missing = (
        '<missingSet><path>q</path><fault><fault xsi:type="ManagedObjectNotFound">'
        '<obj type="Folder">group-1</obj></fault></fault></missingSet>'
    )
    text = answer("xsd:string", "x").replace(b"</objects>", missing.encode() + b"</objects>")
    ((vm, row),), _ = read_answer(text, Stub())
    assert (vm._moId, row) == ("vm-1", {"p": "x"})


UNREADABLE = {
    "an unknown type": answer("NotYetThought", "x"),
    "a device of an unknown type": answer(
        "ArrayOfVirtualDevice", '<VirtualDevice xsi:type="VirtualNew"><key>1</key></VirtualDevice>'
    ),
    "an unknown field": answer("Description", "<colour>red</colour>"),
    "an unknown member": answer("VirtualMachinePowerState", "melted"),
    "bytes": answer("xsd:base64Binary", "AAAA"),
    "a fault": answer("NotSupported", ""),
    "no type": answer("xsd:string", "x").replace(b' xsi:type="xsd:string"', b""),
    "no truth": answer("xsd:boolean", "perhaps"),
    "no number": answer("xsd:int", "many"),
    "no time": answer("xsd:dateTime", "yesterday"),
    "another server's": answer("xsd:string", "x").replace(
        b'<obj type="VirtualMachine">', b'<obj type="VirtualMachine" serverGuid="g">'
    ),
    "no object": answer("xsd:string", "x").replace(b'<obj type="VirtualMachine">vm-1</obj>', b""),
    "two meanings of a prefix": answer("xsd:string", "x").replace(
        b"<val ", b'<val xmlns:xsd="urn:other" '
    ),
    "half an answer": answer("xsd:string", "x")[:-40],
    "another answer": envelope('<CurrentTimeResponse xmlns="urn:vim25"/>'),
    "a page of HTML": b"<html><body/></html>",
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_is_left_to_pyvmomi(text: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_answer(text, Stub())


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_pyvmomi_reads_what_we_do_not(encoding: str) -> None:
    """Bytes are not read here; the answer is the same as it would be without this reader."""
    text = answer("xsd:base64Binary", "AAEC", "<token>t</token>").replace(
        b"RetrieveProp", b"ContinueRetrieveProp"
    )
    stub = Stub(gzip.compress(text) if encoding else text, encoding=encoding)
    ((vm, row),), token = asked(stub)
    assert (vm._moId, row["p"], token) == ("vm-1", b"\0\1\2", "t")


def test_a_fault_is_pyvmomis_own() -> None:
    fault = (
        "<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>log in</faultstring>"
        '<detail><NotAuthenticatedFault xmlns="urn:vim25" xsi:type="NotAuthenticated">'
        '<object type="Folder">group-d1</object><privilegeId>System.View</privilegeId>'
        "</NotAuthenticatedFault></detail></soapenv:Fault>"
    )
    with pytest.raises(vim.fault.NotAuthenticated, match="log in"):
        asked(Stub(envelope(fault), status=500))


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (UNREADABLE["half an answer"], 200),
        (UNREADABLE["a page of HTML"][:-5], 500),
        (answer("xsd:string", "x"), 500),
    ],
)
def test_what_is_no_answer_is_no_empty_one(text: bytes, status: int) -> None:
    with pytest.raises(HTTPException, match=str(status)):
        asked(Stub(text, status))


def test_a_door_that_is_no_vcenter_is_told_and_left() -> None:
    stub = Stub(b"<html/>", status=503)
    with pytest.raises(HTTPException, match="503 said so"):
        asked(stub)
    assert stub.connection.is_closed


def test_a_broken_connection_takes_the_pool_along() -> None:
    stub = Stub(error=ConnectionResetError())
    other = Connection(b"", 200, "", None)
    stub.pool = [(other, 0.0)]
    with pytest.raises(ConnectionResetError):
        asked(stub)
    assert stub.connection.is_closed
    assert other.is_closed
    assert stub.pool == []
