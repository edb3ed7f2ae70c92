"""Reading from the site's OCI registry, with the site's CA; downloads are resumed.

A registry that asks for patience (429, 503 with Retry-After) is given it, within a bound.
"""

from __future__ import annotations

import hashlib
import http.client
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import NodeError
from .login import Login
from .parts import CHUNK, begun, sync, write
from .referring import Attached, digest_in, first_layer, listed
from .settings import Registry

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_ATTEMPTS = 5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 60.0
_TIMEOUT_S = 30
_LARGEST_DOCUMENT = 16 << 20
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 10

Connect = Callable[[str], http.client.HTTPConnection]


class _NotNowError(ConnectionError):
    """The registry may answer later; ``pause_s`` is what it asked for."""

    def __init__(self, status: int, retry_after: str) -> None:
        super().__init__(f"status {status}")
        self.pause_s = float(retry_after) if retry_after.isdecimal() else 0.0


class RegistryReader:
    """One repository of the registry."""

    def __init__(
        self,
        registry: Registry,
        connect: Connect | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._registry = registry
        self._connect = connect or self._connect_tls
        self._login = Login(registry, self._connect)
        self._pause = pause
        self._host = urllib.parse.urlsplit(registry.url).netloc
        self._base = f"{registry.url}/v2/{registry.repository}"

    def manifest(self, reference: str) -> bytes:
        """Return a manifest's bytes, verified where the reference is a digest."""
        content = self._document(f"/manifests/{reference}")
        if reference.startswith("sha256:"):
            _check(content, reference)
        return content

    def blob(self, digest: str) -> bytes:
        """Return a small blob, verified."""
        content = self._document(f"/blobs/{digest}")
        _check(content, digest)
        return content

    def attached(self, subject: str, kind: str) -> list[Attached]:
        """Return what of a kind refers to a manifest, the newest first.

        Anybody may attach an artifact that holds nothing, or is of an odd form: it is passed over.
        """
        found = []
        for entry in reversed(self._referrers(subject)):
            artifact = digest_in(entry)
            if entry.get("artifactType") != kind or not artifact:
                continue
            if held := first_layer(self.manifest(artifact)):
                found.append(Attached(artifact, self.blob(held)))
        return found

    def download(self, digest: str, size: int, part: Path) -> None:
        """Fetch a blob into ``part``, verified while it is written; a cut download goes on.

        What ``part`` holds already is taken as the beginning. Returns only when the file is
        whole, right and synced.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                if self._continue(digest, size, part):
                    return
            except (OSError, http.client.HTTPException) as error:
                if attempt == _ATTEMPTS:
                    raise self._unreachable(error) from error
                self._wait(attempt, error)
        raise NodeError(
            "REGISTRY_CUT_OFF",
            f"{digest} kept ending early; what came is kept",
            "run it again: it goes on from there",
        )

    def _continue(self, digest: str, size: int, part: Path) -> bool:
        """Fetch what is missing; returns whether the file is whole and right.

        Where an earlier try's beginning turns out to be of other bytes, it is thrown away.
        """
        with part.open("a+b", buffering=0) as file:  # a full disk is told where it is met
            sha, have = begun(file)
            kept = have
            if have < size:
                headers = {"Range": f"bytes={have}-"} if have else {}
                with self._get(f"{self._base}/blobs/{digest}", headers) as response:
                    if have and response.status != http.client.PARTIAL_CONTENT:
                        file.truncate(0)  # the registry does not resume: from the start
                        sha, have, kept = hashlib.sha256(), 0, 0
                    _require_length(response, digest, size - have)
                    while have <= size and (chunk := response.read(CHUNK)):
                        sha.update(chunk)
                        write(file, chunk)
                        have += len(chunk)
            sync(file)
            if have < size:
                return False
            if f"sha256:{sha.hexdigest()}" == digest:
                return True
            file.truncate(0)
        if kept:
            return False
        part.unlink()
        raise NodeError(
            "REGISTRY_BYTES_WRONG",
            f"the registry sent other bytes than {digest}",
            "the registry's store is damaged: push the checkpoint again",
        )

    def _referrers(self, subject: str) -> list[dict[str, Any]]:
        try:
            answer = self._document(f"/referrers/{subject}")
        except NodeError as error:
            if error.code != "REGISTRY_NOT_FOUND":
                raise
            # A registry without the referrers call: the fallback tag of the OCI specification
            try:
                answer = self.manifest(subject.replace(":", "-"))
            except NodeError as missing:
                if missing.code != "REGISTRY_NOT_FOUND":
                    raise
                return []
        return listed(answer, f"what {self._registry.url} answers for {subject}'s referrers")

    def _document(self, path: str) -> bytes:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._get(self._base + path, {}) as response:
                    content = response.read(_LARGEST_DOCUMENT + 1)
            except (OSError, http.client.HTTPException) as error:
                if attempt == _ATTEMPTS:
                    raise self._unreachable(error) from error
                self._wait(attempt, error)
                continue
            if len(content) > _LARGEST_DOCUMENT:
                raise NodeError(
                    "REGISTRY_FAILED",
                    f"{path} is larger than it may be",
                    "is the registry's address right? no answer of one is so large",
                )
            return content
        raise AssertionError("unreachable")

    @contextmanager
    def _get(
        self, url: str, headers: dict[str, str], *, is_last: bool = False, moved: int = 0
    ) -> Iterator[http.client.HTTPResponse]:
        parts = urllib.parse.urlsplit(url)
        is_ours = parts.netloc == self._host  # a redirect to a store of blobs gets no password
        sent = {"Accept": f"{MANIFEST}, {INDEX}", **headers}
        if is_ours:
            sent["Authorization"] = self._login.header()
        connection = self._connect(parts.netloc)
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", target, headers=sent)
            response = connection.getresponse()
            again = ""
            if response.status in _REDIRECTS:
                again = self._moved_to(url, response.headers.get("Location", ""), moved)
            elif response.status == http.client.UNAUTHORIZED and is_ours and not is_last:
                challenge = response.headers.get("WWW-Authenticate", "")
                again = url if self._login.renewed(challenge) else ""
            if again:
                last = again == url
                with self._get(again, headers, is_last=last, moved=moved + 1) as other:
                    yield other
                return
            self._check_status(response, parts.path)
            yield response
        finally:
            connection.close()

    def _moved_to(self, url: str, location: str, moved: int) -> str:
        """Return where a redirect leads. Raises NodeError where it leads nowhere."""
        with suppress(ValueError):
            target = urllib.parse.urljoin(url, location)
            leads = location.isascii() and bool(urllib.parse.urlsplit(target).netloc)
            if leads and target != url and moved < _MOST_REDIRECTS:
                return target
        raise NodeError(
            "REGISTRY_ANSWER_INVALID",
            f"{url} redirects without end, or to nowhere: {location[:100]!r}",
            "correct the registry's address, or the proxy before it",
        )

    def _check_status(self, response: http.client.HTTPResponse, path: str) -> None:
        status = response.status
        if status in (401, 403):
            raise NodeError(
                "REGISTRY_DENIED", f"{self._registry.url} denies {path}", "check the password file"
            )
        if status == http.client.NOT_FOUND:
            raise NodeError(
                "REGISTRY_NOT_FOUND",
                f"{self._registry.url} does not hold {path}",
                "push it there: `permafrost model push`",
            )
        if status not in (http.client.OK, http.client.PARTIAL_CONTENT):
            raise _NotNowError(status, response.headers.get("Retry-After", ""))

    def _wait(self, attempt: int, error: Exception) -> None:
        asked = error.pause_s if isinstance(error, _NotNowError) else 0.0
        self._pause(min(max(asked, _FIRST_PAUSE_S * 2 ** (attempt - 1)), _LONGEST_PAUSE_S))

    def _connect_tls(self, netloc: str) -> http.client.HTTPConnection:
        context = ssl.create_default_context(cafile=str(self._registry.ca_file))
        return http.client.HTTPSConnection(netloc, timeout=_TIMEOUT_S, context=context)

    def _unreachable(self, error: Exception) -> NodeError:
        return NodeError(
            "REGISTRY_UNREACHABLE",
            f"{self._registry.url}: {error}",
            "is the registry up, and open to this node? then run it again",
        )


def _require_length(response: http.client.HTTPResponse, digest: str, size: int) -> None:
    """What announces another length is something else, as a page that a proxy shows."""
    told = response.headers.get("Content-Length", "")
    if told.isdecimal() and int(told) != size:
        kind = response.headers.get("Content-Type", "unknown")
        raise NodeError(
            "REGISTRY_BYTES_WRONG",
            f"the registry offers {told} bytes of type {kind} for {digest}, not {size}",
            "a proxy answers for the registry, or its store is damaged",
        )


def _check(content: bytes, digest: str) -> None:
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise NodeError(
            "REGISTRY_BYTES_WRONG",
            f"the registry sent other bytes than {digest}",
            "the registry's store is damaged: push the checkpoint again",
        )
