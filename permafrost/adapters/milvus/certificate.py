"""Why a proxy's certificate is not taken: pymilvus tells it as a server that is away."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

HANDSHAKE_S = 5.0


def certificate_fault(port: int, member: str, ca: Path) -> str:
    """Return what is wrong with the certificate behind a port of the loopback, or nothing.

    A server that is away, or speaks no TLS, shows none: of that nothing is said here.
    """
    trust = ssl.create_default_context(cafile=str(ca))
    trust.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=HANDSHAKE_S) as plain,
            trust.wrap_socket(plain, server_hostname=member),
        ):
            return ""
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not one of the site for {member}: {error.verify_message}"
    except OSError:
        return ""
