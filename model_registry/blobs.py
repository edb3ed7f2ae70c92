"""Single blobs to and from a registry, in streams: resumed where they were cut, never half.

A download asks for the rest with a Range and is verified as a whole. An upload asks the registry
how much it has; some (docker-registry 2.8) give up an upload that was cut within a request, then
this blob is sent from its beginning again. Memory does not grow with a blob.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from model_registry.errors import RegistryError
from model_registry.http import httpx
from model_registry.meter import Meter

if TYPE_CHECKING:
    from model_registry.client import RegistryClient

CHUNK = 64 << 20
_READ = 1 << 20
_ATTEMPTS = 6
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0


class _Span:
    """A part of a file as the body of a request that can be sent again."""

    def __init__(self, file: BinaryIO, start: int, size: int, meter: Meter) -> None:
        self._file, self._start, self._size, self._meter = file, start, size, meter

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(self._start)
        left = self._size
        while left and (chunk := self._file.read(min(_READ, left))):
            left -= len(chunk)
            yield chunk
            self._meter.move(len(chunk))


class _Patience:
    """How often one blob may fail without moving on."""

    def __init__(self, client: RegistryClient, what: str) -> None:
        self._client, self._what = client, what
        self._failures, self._best = 0, -1

    def failed(self, error: Exception, offset: int) -> None:
        """Wait a little; raise where it has failed too often since it last got further."""
        if offset > self._best:
            self._best, self._failures = offset, 0
        self._failures += 1
        if self._failures >= _ATTEMPTS:
            raise RegistryError(
                "REGISTRY_UNREACHABLE",
                f"{self._client.url}: lost in the middle of {self._what}: {error}",
                "run it again when the registry is back: what is whole is not moved again",
            ) from error
        pause_s = min(_FIRST_PAUSE_S * 2 ** (self._failures - 1), _LONGEST_PAUSE_S)
        if isinstance(error, _NotNowError):
            pause_s = self._client.pause_for(error.response, pause_s)
        self._client.pause(pause_s)


class _NotNowError(httpx.TransportError):
    """The registry answered that it may be asked later."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"status {response.status_code}")
        self.response = response


def download(
    client: RegistryClient, repository: str, digest: str, target: BinaryIO, meter: Meter
) -> int:
    """Append to ``target`` what it lacks of a blob, verify the whole; returns its size."""
    sha, size = _hash_of(target)
    patience = _Patience(client, digest)
    while True:
        headers = {"Accept-Encoding": "identity"}
        if size:
            headers["Range"] = f"bytes={size}-"
        try:
            with client.stream("GET", f"/v2/{repository}/blobs/{digest}", headers) as response:
                if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    break  # all of it is there; whether it is right shows below
                if _is_passing(response):
                    raise _NotNowError(response)
                client.checked(response, digest)
                if size and response.status_code != httpx.codes.PARTIAL_CONTENT:
                    sha, size = hashlib.sha256(), 0
                    target.seek(0)
                    target.truncate()
                for chunk in response.iter_bytes():
                    sha.update(chunk)
                    target.write(chunk)
                    size += len(chunk)
                    meter.move(len(chunk))
            break
        except httpx.TransportError as error:
            patience.failed(error, size)
    if f"sha256:{sha.hexdigest()}" != digest:
        raise RegistryError(
            "DIGEST_MISMATCH",
            f"{repository}: other bytes than {digest}",
            "nothing of them is kept; if it happens again, the registry holds other bytes",
        )
    return size


def upload(
    client: RegistryClient,
    repository: str,
    digest: str,
    source: BinaryIO,
    size: int,
    *,
    mount_from: Sequence[str] = (),
    meter: Meter,
) -> bool:
    """Store a blob unless it is there or another repository lends it; whether it was sent."""
    if client.has_blob(repository, digest):
        meter.spare(size)
        return False
    location = _begin(client, repository, digest, mount_from)
    if location is None:
        meter.spare(size)
        return False
    sent, patience = 0, _Patience(client, digest)
    while True:
        try:
            while size - sent > CHUNK:
                location = _send_chunk(client, location, _Span(source, sent, CHUNK, meter), sent)
                sent += CHUNK
            _finish(client, location, _Span(source, sent, size - sent, meter), size - sent, digest)
        except httpx.TransportError as error:
            patience.failed(error, sent)
            if client.has_blob(repository, digest):
                return True  # only the answer was lost
            location, sent = _resumed(client, location) or (
                _begin(client, repository, digest, ()) or "",
                0,
            )
        else:
            return True


def _begin(
    client: RegistryClient, repository: str, digest: str, mount_from: Sequence[str]
) -> str | None:
    """Begin an upload; None where the blob was mounted from another repository instead."""
    path = f"/v2/{repository}/blobs/uploads/"
    for other in mount_from:
        response = client.send("POST", path, params={"mount": digest, "from": other})
        if response.status_code == httpx.codes.CREATED:
            return None
        if response.status_code == httpx.codes.ACCEPTED:
            return _location(client, response, digest)
    return _location(client, client.send("POST", path), digest)


def _send_chunk(client: RegistryClient, location: str, span: _Span, start: int) -> str:
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(CHUNK),
        "Content-Range": f"{start}-{start + CHUNK - 1}",
    }
    response = _sent(client, "PATCH", location, span, headers)
    return _location(client, response, "an upload")


def _finish(client: RegistryClient, location: str, span: _Span, size: int, digest: str) -> None:
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
    url = str(httpx.URL(location).copy_add_param("digest", digest))
    client.checked(_sent(client, "PUT", url, span, headers), digest)


def _sent(
    client: RegistryClient, method: str, url: str, span: _Span, headers: dict[str, str]
) -> httpx.Response:
    response = client.ask(method, url, content=span, headers=headers)
    is_lost = response.status_code in (
        httpx.codes.NOT_FOUND,  # the upload is not known any more
        httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE,
    )
    if is_lost or _is_passing(response):
        raise _NotNowError(response)
    return response


def _is_passing(response: httpx.Response) -> bool:
    return response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error


def _resumed(client: RegistryClient, location: str) -> tuple[str, int] | None:
    """Return where an upload goes on, and after how many bytes; None where it is lost."""
    response = client.send("GET", location)
    if response.status_code >= httpx.codes.BAD_REQUEST or "range" not in response.headers:
        return None
    last = int(response.headers["range"].partition("-")[2] or 0)
    return _location(client, response, "an upload"), last + 1 if last else 0


def _location(client: RegistryClient, response: httpx.Response, what: str) -> str:
    client.checked(response, what)
    return str(response.url.join(response.headers["location"]))


def _hash_of(target: BinaryIO) -> tuple[hashlib._Hash, int]:
    sha, size = hashlib.sha256(), 0
    target.seek(0)
    while chunk := target.read(_READ):
        sha.update(chunk)
        size += len(chunk)
    return sha, size
