"""How bytes get to a registry and back: the standard library's HTTP below httpx.

httpx asks, follows, authenticates; but its own transport hands a body on in pieces of one TLS
record, which costs a fast network most of its speed. This one reads a megabyte at a time.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator

from model_registry.http import httpx

_CONNECT_S, _IDLE_S = 10.0, 60.0
_READ = 1 << 20
_STALE = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)


class WireTransport(httpx.BaseTransport):
    """HTTP/1.1 over TLS; keeps connections, and may be used by several threads.

    ``idle_s``: how long a server may say nothing.
    """

    def __init__(self, context: ssl.SSLContext, *, idle_s: float = _IDLE_S) -> None:
        self._context = context
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, int], list[http.client.HTTPSConnection]] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the answer's body is read when it is asked for."""
        if request.url.scheme != "https":
            raise httpx.UnsupportedProtocol(f"{request.url.scheme}:// is not https://")
        place = (request.url.host, request.url.port or 443)
        while True:
            connection, is_used = self._connection(place)
            try:
                if not is_used:
                    self._open(connection)
                answer = self._exchange(connection, request)
            except ssl.SSLCertVerificationError as error:
                raise httpx.ConnectError(str(error)) from error
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if is_used and isinstance(error, _STALE):
                    continue  # the server had closed it while it was idle
                raise httpx.NetworkError(f"{type(error).__name__}: {error}") from error
            return httpx.Response(
                answer.status,
                headers=answer.getheaders(),
                stream=_Body(self, place, connection, answer),
            )

    def keep(self, place: tuple[str, int], connection: http.client.HTTPSConnection) -> None:
        """Take back a connection whose answer was read to its end."""
        with self._lock:
            self._idle.setdefault(place, []).append(connection)

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def _connection(self, place: tuple[str, int]) -> tuple[http.client.HTTPSConnection, bool]:
        with self._lock:
            if self._idle.get(place):
                return self._idle[place].pop(), True
        host, port = place
        fresh = http.client.HTTPSConnection(
            host, port, timeout=_CONNECT_S, context=self._context, blocksize=_READ
        )
        return fresh, False

    def _open(self, connection: http.client.HTTPSConnection) -> None:
        connection.connect()
        connection.sock.settimeout(self._idle_s)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @staticmethod
    def _exchange(
        connection: http.client.HTTPSConnection, request: httpx.Request
    ) -> http.client.HTTPResponse:
        target = request.url.raw_path.decode("ascii")
        connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.raw:
            connection.putheader(name.decode("ascii"), value.decode("latin-1"))
        connection.endheaders()
        is_chunked = "chunked" in request.headers.get("transfer-encoding", "")
        assert isinstance(request.stream, httpx.SyncByteStream)
        for piece in request.stream:
            connection.send(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
        if is_chunked:
            connection.send(b"0\r\n\r\n")
        return connection.getresponse()


class KeptTransport(httpx.BaseTransport):
    """Several clients' way to one transport: what one of them is done with, the next one takes."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Have the transport send it."""
        return self._transport.handle_request(request)

    def close(self) -> None:
        """Leave the connections to the next client; they end with the process."""


class _Body(httpx.SyncByteStream):
    """The body of an answer; one that ends early is an error, not a short body."""

    def __init__(
        self,
        transport: WireTransport,
        place: tuple[str, int],
        connection: http.client.HTTPSConnection,
        answer: http.client.HTTPResponse,
    ) -> None:
        self._transport, self._place = transport, place
        self._connection, self._answer = connection, answer

    def __iter__(self) -> Iterator[bytes]:
        left = self._answer.length  # None where the server does not say
        try:
            while content := self._answer.read(_READ):
                left = None if left is None else left - len(content)
                yield content
        except (OSError, http.client.HTTPException) as error:
            raise httpx.ReadError(f"{type(error).__name__}: {error}") from error
        if left:
            raise httpx.ReadError(f"cut with {left} bytes to come")

    def close(self) -> None:
        """Keep the connection where nothing is left on it, else close it."""
        if self._answer.isclosed() and not self._answer.will_close:
            self._transport.keep(self._place, self._connection)
        else:
            self._answer.close()
            self._connection.close()
