"""Which version of the API a vCenter is spoken to in, asked within a deadline.

pyvmomi's ``SmartConnect`` asks this without one, so that a vCenter that accepts and never answers
would hold whoever asks for ever; and what is no vCenter it tells by a bare Exception.
"""

from __future__ import annotations

import re
import ssl
from http.client import HTTPException, HTTPSConnection
from typing import Any

from pyVmomi import VmomiSupport

library: Any = VmomiSupport  # pyvmomi's functions carry no types
PATH = "/sdk/vimServiceVersions.xml"
VERSION = re.compile(rb"<version>\s*([^<\s]+)\s*</version>")


def version_of(host: str, port: int, tls: ssl.SSLContext, timeout_s: float) -> str:
    """Return the newest version that both know, as pyvmomi names it.

    Raises OSError (TimeoutError after ``timeout_s`` without a byte), HTTPException where what
    answers does not say.
    """
    connection = HTTPSConnection(host, port, context=tls, timeout=timeout_s)
    try:
        connection.request("GET", PATH)
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise HTTPException(f"{response.status} {response.reason}")
    told = {found.decode("ascii", "replace") for found in VERSION.findall(text)}
    for version in library.GetServiceVersions("vim25"):
        if library.versionIdMap[version] in told:
            return str(version)
    said = ", ".join(sorted(told)) or "none"
    raise HTTPException(f"of the versions that it tells none is known here: {said}")
