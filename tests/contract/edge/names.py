"""Clients that know an endpoint by its host name, over HTTP/1.1, HTTP/2 and gRPC's TLS."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path
from typing import Any

from permafrost import topology
from permafrost.adapters.ansible.variables import server_names
from permafrost.pki import SitePki
from tests.contract.edge.front import OWN, PORT, Front
from tests.golden.ansible.rendering import golden_site

PATH = "/v2/models/chat/generate"


def names(folder: Path) -> dict[str, Any]:
    """Show the names that the product gives an edge; return how each way to ask ends."""
    site = golden_site("oslo")
    (edge, *_) = topology.edges(site)
    told, addresses = server_names(site, edge)
    issued = SitePki(folder, "oslo", None).server_certificate(
        edge.name, names=told, addresses=addresses
    )
    with Front(
        folder, certificate=issued.certificate_pem + issued.key_pem, is_answered=False
    ) as front:
        ca_file = str(front.folder / "pki/ca.pem")
        end = time.monotonic() + 20
        while "200" not in _ask(ca_file, told[0]):
            assert time.monotonic() < end, "the edge does not answer"
            time.sleep(0.1)
        asked = {name: _ask(ca_file, name) for name in told}
        other = _ask(ca_file, "chat.example.net")
        protocols = {name: _protocol(ca_file, told[0], name) for name in ("h2", "http/1.1")}
    return {"told": list(told), "asked": asked, "other": other, "protocols": protocols}


def _ask(ca_file: str, name: str) -> str:
    """Return version and status of the answer, or why there was no connection."""
    context = ssl.create_default_context(cafile=ca_file)
    request = f"POST {PATH} HTTP/1.1\r\nhost: {name}\r\ncontent-length: 2\r\n\r\n{{}}"
    try:
        with (
            socket.create_connection((OWN, PORT), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname=name) as client,
        ):
            client.sendall(request.encode())
            return client.recv(500).decode().partition("\r\n")[0][:12]
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except ConnectionRefusedError:
        return "nobody listens"


def _protocol(ca_file: str, name: str, offered: str) -> str:
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols([offered])
    with (
        socket.create_connection((OWN, PORT), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=name) as client,
    ):
        return client.selected_alpn_protocol() or ""
