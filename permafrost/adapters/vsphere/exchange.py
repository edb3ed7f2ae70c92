"""One call of a PropertyCollector over pyvmomi's own session and connections.

pyvmomi writes the request and keeps the login, the connections and their pool; only who reads the
answer is another (``answer``). A fault, and whatever that reader does not know, is pyvmomi's to
read, from the same bytes.
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from http.client import HTTPException
from io import BytesIO
from typing import Any
from xml.parsers.expat import ExpatError

from pyVmomi import SoapAdapter

from permafrost.adapters.vsphere.answer import Object, read_answer
from permafrost.adapters.vsphere.answer_values import UnreadableError

library: Any = SoapAdapter  # pyvmomi's classes carry no types
EITHER = zlib.MAX_WBITS | 32
"""Both of the compressions that pyvmomi accepts: gzip and zlib, told apart by their header."""


def ask(collector: Any, method: str, *arguments: Any) -> tuple[list[Object], str | None]:
    """Return the objects that a method answers with, and the token of the next page.

    Raises what pyvmomi raises: the fault of the server, OSError, HTTPException.
    """
    stub = collector._GetStub()
    info = collector._GetMethodInfo(method)
    status, text = post(stub, stub.SerializeRequest(collector, info, arguments))
    with suppress(UnreadableError):
        if status == 200:
            return read_answer(text, stub)
    try:
        answer = library.SoapResponseDeserializer(stub).Deserialize(BytesIO(text), info.result)
    except ExpatError as error:
        raise HTTPException(f"{status}, and what came is no answer: {error}") from None
    if isinstance(answer, Exception):
        raise answer
    if status != 200:
        raise HTTPException(f"{status} without a fault")
    return objects_of(answer)


def objects_of(answer: Any) -> tuple[list[Object], str | None]:
    """Return the same out of what pyvmomi has read."""
    if answer is None:
        return [], None
    found = [(item.obj, {p.name: p.val for p in item.propSet}) for item in answer.objects]
    return found, answer.token


def post(stub: Any, request: bytes) -> tuple[int, bytes]:
    """Send a request as pyvmomi does; return status and answer."""
    headers = {
        "Cookie": stub.cookie,
        "SOAPAction": stub.versionId,
        "Content-Type": f"text/xml; charset={library.XML_ENCODING}",
        "Accept-Encoding": "gzip, deflate",
    }
    connection = stub.GetConnection()
    try:
        connection.request("POST", stub.path, request, headers)
        response = connection.getresponse()
        text = response.read()
    except (OSError, HTTPException):
        # As pyvmomi: when one connection is broken, the others of its pool may be too.
        connection.close()
        stub.DropConnections()
        raise
    if response.status not in (200, 500):
        connection.close()
        raise HTTPException(f"{response.status} {response.reason}")
    stub.ReturnConnection(connection)
    if response.getheader("Content-Encoding", "identity").lower() in ("gzip", "deflate"):
        text = zlib.decompress(text, EITHER)
    return response.status, text
