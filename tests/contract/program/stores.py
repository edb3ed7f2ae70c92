"""Stand-ins for what a site may keep its state in and encrypt it by: an S3 bucket, a Vault.

Just enough of either for Pulumi's engine; nobody's signature is checked.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "state"
STAMP = "2026-01-01T00:00:00.000Z"
GO_STAMP = "Thu, 01 Jan 2026 00:00:00 GMT"


class Stores(ThreadingHTTPServer):
    """The server, and the objects of its bucket by their keys."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.is_away = False

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def bucket_url(self) -> str:
        """The bucket, as a site file names it."""
        return f"s3://{BUCKET}?endpoint={self.address}&s3ForcePathStyle=true&region=lab"


@contextmanager
def running_stores() -> Iterator[Stores]:
    """Serve until the caller is done."""
    with Stores() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Stores

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent."""

    def parse_request(self) -> bool:
        """Read what is asked; while the store is away, everybody is refused."""
        is_whole = super().parse_request()
        if is_whole and self.server.is_away:
            self._body()
            self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
            return False
        return is_whole

    def do_GET(self) -> None:
        """Answer with an object, or with the list of those below a prefix."""
        url = urlsplit(self.path)
        if key := self._key():
            found = self.server.objects.get(key)
            self._object(found)
        else:
            self._answer(200, self._listing(parse_qs(url.query, keep_blank_values=True)))

    def do_HEAD(self) -> None:
        """Say whether an object is there."""
        self._object(self.server.objects.get(self._key()))

    def do_PUT(self) -> None:
        """Keep or copy an object; for Vault, encrypt or decrypt."""
        body = self._body()
        if self.path.startswith("/v1/transit/"):
            self._transit(json.loads(body))
            return
        if source := self.headers.get("x-amz-copy-source"):
            body = self.server.objects[unquote(source).lstrip("/").partition("/")[2]]
        self.server.objects[self._key()] = body
        tag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        copied = f'<CopyObjectResult><ETag>"{tag}"</ETag></CopyObjectResult>' if source else ""
        self._answer(200, copied.encode(), etag=tag)

    do_POST = do_PUT  # noqa: N815  (the name is the base class's)

    def do_DELETE(self) -> None:
        """Forget an object."""
        self.server.objects.pop(self._key(), None)
        self._answer(204, b"")

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        else:
            body = _unchunked(self.rfile)
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return body
        return _unchunked(io.BytesIO(body))

    def _transit(self, asked: dict[str, str]) -> None:
        if "/encrypt/" in self.path:
            data = {"ciphertext": "vault:v1:" + asked["plaintext"][::-1]}
        else:
            data = {"plaintext": asked["ciphertext"].removeprefix("vault:v1:")[::-1]}
        self._answer(200, json.dumps({"data": data}).encode(), kind="application/json")

    def _listing(self, asked: dict[str, list[str]]) -> bytes:
        prefix, delimiter = asked.get("prefix", [""])[0], asked.get("delimiter", [""])[0]
        rows, folders = [], set()
        for key, body in sorted(self.server.objects.items()):
            if not key.startswith(prefix):
                continue
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
                continue
            rows.append(
                f"<Contents><Key>{escape(key)}</Key><LastModified>{STAMP}</LastModified>"
                f'<ETag>"0"</ETag><Size>{len(body)}</Size></Contents>'
            )
        rows += [
            f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>"
            for f in sorted(folders)
        ]
        return (
            "<ListBucketResult><IsTruncated>false</IsTruncated>"
            + "".join(rows)
            + "</ListBucketResult>"
        ).encode()

    def _object(self, body: bytes | None) -> None:
        if body is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._answer(200, body, kind="application/octet-stream", etag="0")

    def _answer(
        self, status: int, body: bytes, *, kind: str = "application/xml", etag: str = ""
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", GO_STAMP)
        if etag:
            self.send_header("ETag", f'"{etag}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _unchunked(stream: BinaryIO) -> bytes:
    """Read a body that comes in pieces, each with its length before it."""
    parts = []
    while True:
        size = int(stream.readline().partition(b";")[0].strip() or b"0", 16)
        if not size:
            return b"".join(parts)
        parts.append(stream.read(size))
        stream.readline()
