"""A token realm as a registry's own one: basic authentication in, a signed token (JWT) out."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.contract.registry.fake import PASSWORD, USER

ISSUER, SERVICE = "token server under test", "registry under test"


@dataclass
class Realm:
    """Where tokens come from; ``asked`` holds the scopes of all that were given."""

    address: str
    valid_s: float = 300.0
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://{self.address}/token"


@contextmanager
def token_server(certificate: Path, key_file: Path) -> Iterator[Realm]:
    """Run a realm for a block; its TLS certificate signs its tokens too."""
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    realm = Realm("")
    handler = type("Handler", (_Handler,), {"realm": realm, "key": key, "cert": certificate})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key_file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    realm.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield realm
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    realm: Realm
    key: ec.EllipticCurvePrivateKey
    cert: Path

    def do_GET(self) -> None:
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {pair}":
            self._answer(401, {"errors": ["who are you?"]})
            return
        query = parse_qs(urlsplit(self.path).query)
        assert query["service"] == [SERVICE]
        self.realm.asked += query.get("scope", [""])
        access = [_access(scope) for scope in query.get("scope", [])]
        token = _jwt(self.key, self.cert, access, self.realm.valid_s)
        self._answer(200, {"token": token, "expires_in": int(self.realm.valid_s)})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return


def _access(scope: str) -> dict[str, Any]:
    kind, name, actions = scope.split(":")
    return {"type": kind, "name": name, "actions": actions.split(",")}


def _jwt(
    key: ec.EllipticCurvePrivateKey, certificate: Path, access: list[Any], valid_s: float
) -> str:
    known = x509.load_pem_x509_certificate(certificate.read_bytes())
    chain = [base64.b64encode(known.public_bytes(serialization.Encoding.DER)).decode()]
    now = time.time()
    claims = {
        "iss": ISSUER,
        "sub": USER,
        "aud": SERVICE,
        "exp": int(now + valid_s),
        "nbf": int(now) - 60,
        "iat": int(now),
        "jti": uuid.uuid4().hex,
        "access": access,
    }
    signed = ".".join(
        _b64(part) for part in ({"typ": "JWT", "alg": "ES256", "x5c": chain}, claims)
    )
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{_raw(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _b64(part: dict[str, Any]) -> str:
    return _raw(json.dumps(part).encode())


def _raw(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
