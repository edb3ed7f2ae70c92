"""A registry by the OCI distribution protocol, over HTTPS.

A request that met a network error, 429 or 5xx is sent again a few times; `blobs` moves content.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO

from model_registry import blobs, digests, fallback
from model_registry.answers import entries_of, object_of, tags_of
from model_registry.auth import RegistryAuth
from model_registry.errors import RegistryError
from model_registry.http import httpx
from model_registry.media_types import IMAGE_INDEX, IMAGE_MANIFEST
from model_registry.meter import Meter
from model_registry.wire import WireTransport

_ATTEMPTS = 5
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 60.0
_ACCEPT = f"{IMAGE_MANIFEST}, {IMAGE_INDEX}"
_LARGEST_MANIFEST = 4 << 20


class RegistryClient:
    """One registry, ``oci://host:port``."""

    def __init__(
        self,
        url: str,
        *,
        username: str = "",
        password: str = "",
        ca_file: Path | None = None,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        if not url.startswith("oci://"):
            raise RegistryError(
                "REGISTRY_URL_INVALID",
                f"{url!r} is not oci://host[:port]",
                "write it as oci://registry.example:5000",
            )
        self.url = url.rstrip("/")
        self.pause = pause
        self._http = httpx.Client(
            base_url="https://" + self.url.removeprefix("oci://"),
            auth=RegistryAuth(username, password),
            transport=transport or WireTransport(_context(ca_file)),
            follow_redirects=True,
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> RegistryClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ping(self) -> None:
        """Raise RegistryError unless the registry answers and admits us."""
        self.checked(self.send("GET", "/v2/"), "the registry")

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether the repository holds a blob."""
        digests.check(digest)
        return self._exists(f"/v2/{repository}/blobs/{digest}", digest)

    def has_manifest(self, repository: str, reference: str) -> bool:
        """Whether the repository holds a manifest, by digest or tag."""
        return self._exists(f"/v2/{repository}/manifests/{reference}", reference)

    def blob(self, repository: str, digest: str) -> bytes:
        """Return a small blob, verified."""
        response = self.checked(self.send("GET", f"/v2/{repository}/blobs/{digest}"), digest)
        return _verified(response.content, digest)

    def download(
        self, repository: str, digest: str, target: BinaryIO, meter: Meter | None = None
    ) -> int:
        """Append to ``target`` what it lacks of a blob, verify the whole; returns its size."""
        return blobs.download(self, repository, digest, target, meter or Meter())

    def manifest_bytes(self, repository: str, reference: str) -> bytes:
        """Return a manifest's bytes, verified where it was asked for by digest."""
        path = f"/v2/{repository}/manifests/{reference}"
        response = self.checked(self.send("GET", path, headers={"Accept": _ACCEPT}), reference)
        if len(response.content) > _LARGEST_MANIFEST:
            raise RegistryError(
                "MANIFEST_INVALID",
                f"{repository}: a manifest over 4 MiB",
                "no checkpoint has one: is the name right?",
            )
        if reference.startswith("sha256:"):
            return _verified(response.content, reference)
        return response.content

    def manifest(self, repository: str, reference: str) -> dict[str, Any]:
        """Return a manifest."""
        content = self.manifest_bytes(repository, reference)
        return object_of(content, f"{self.url}/{repository}: {reference}", "MANIFEST_INVALID")

    def put_manifest(self, repository: str, content: bytes, *tags: str) -> str:
        """Store a manifest by digest, then under each tag; keeps the referrers' tag in step."""
        digest = digests.of_bytes(content)
        document = json.loads(content)
        headers = {"Content-Type": document.get("mediaType", IMAGE_MANIFEST)}
        listed = False
        for reference in (digest, *tags):
            path = f"/v2/{repository}/manifests/{reference}"
            response = self.send("PUT", path, content=content, headers=headers)
            self.checked(response, f"{repository}@{reference}")
            listed = "oci-subject" in response.headers
        if "subject" in document and not listed:
            fallback.add(self, repository, document["subject"]["digest"], content)
        return digest

    def put_tag(self, repository: str, tag: str, content: bytes) -> None:
        """Let a tag name a manifest or index; whatever it named before it no longer does."""
        kind = json.loads(content).get("mediaType", IMAGE_MANIFEST)
        path = f"/v2/{repository}/manifests/{tag}"
        response = self.send("PUT", path, content=content, headers={"Content-Type": kind})
        self.checked(response, f"{repository}:{tag}")

    def tags(self, repository: str) -> list[str]:
        """Return all tags of a repository; none where there is no such repository."""
        path = f"/v2/{repository}/tags/list"
        found: list[str] = []
        while path:
            response = self.send("GET", path)
            if response.status_code == httpx.codes.NOT_FOUND:
                return []
            what = f"what {self.url} answers for the tags of {repository}"
            found += tags_of(self.checked(response, f"the tags of {repository}").content, what)
            link = response.links.get("next", {}).get("url", "")
            path = str(response.url.join(link)) if link else ""
        return found

    def referrers(self, repository: str, digest: str) -> list[dict[str, Any]]:
        """Return what refers to a manifest: by the referrers call, else by the fallback tag."""
        digests.check(digest)
        response = self.send("GET", f"/v2/{repository}/referrers/{digest}")
        if response.status_code == httpx.codes.OK:
            what = f"what {self.url} answers for the referrers of {digest}"
            return entries_of(response.content, what)
        return fallback.read(self, repository, digest)

    def upload(
        self,
        repository: str,
        digest: str,
        source: BinaryIO,
        size: int,
        *,
        mount_from: Sequence[str] = (),
        meter: Meter | None = None,
    ) -> bool:
        """Store a blob unless it is there or another repository lends it; whether it was sent."""
        return blobs.upload(
            self,
            repository,
            digest,
            source,
            size,
            mount_from=mount_from,
            meter=meter or Meter(),
        )

    def ask(self, method: str, url: str, **rest: Any) -> httpx.Response:
        """Ask once. Raises httpx's own errors: for who knows how to go on."""
        return self._http.request(method, url, **rest)

    def stream(
        self, method: str, path: str, headers: dict[str, str]
    ) -> AbstractContextManager[httpx.Response]:
        """Ask once, for an answer whose body is read bit by bit."""
        return self._http.stream(method, path, headers=headers)

    def _exists(self, path: str, what: str) -> bool:
        response = self.send("HEAD", path, headers={"Accept": _ACCEPT})
        if response.status_code == httpx.codes.NOT_FOUND:
            return False
        self.checked(response, what)
        return True

    def send(self, method: str, path: str, **rest: Any) -> httpx.Response:
        """Ask; ask again a few times where the network or the registry fails."""
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                response = self._http.request(method, path, **rest)
            except httpx.RequestError as error:
                if attempt == _ATTEMPTS or "CERTIFICATE" in str(error):
                    raise RegistryError(
                        "REGISTRY_UNREACHABLE",
                        f"{self.url}: {error}",
                        "is it up, is its CA right?",
                    ) from error
            else:
                if attempt == _ATTEMPTS or not _worth_another_try(response.status_code):
                    return response
                self.pause(asked_pause_s(response, pause_s))
                pause_s *= 2
                continue
            self.pause(pause_s)
            pause_s *= 2
        raise AssertionError("unreachable")

    def pause_for(self, response: httpx.Response, else_s: float) -> float:
        """Return how long to wait before the next try, in seconds."""
        return asked_pause_s(response, else_s)

    def checked(self, response: httpx.Response, what: str) -> httpx.Response:
        """Return a good response; raise RegistryError where it is none."""
        status = response.status_code
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise RegistryError(
                "REGISTRY_DENIED", f"{self.url} denies {what}", "check user and password"
            )
        if status == httpx.codes.NOT_FOUND:
            raise RegistryError(
                "REGISTRY_NOT_FOUND",
                f"{self.url} does not hold {what}",
                "push it there, or correct the name or digest",
            )
        if status >= httpx.codes.BAD_REQUEST:
            raise RegistryError(
                "REGISTRY_FAILED",
                f"{self.url}: status {status} for {what}",
                "look at the registry's own log, then run it again",
            )
        return response


def _context(ca_file: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))


def asked_pause_s(response: httpx.Response, else_s: float) -> float:
    """Return how long a registry asks to be left alone (Retry-After), within a bound."""
    said = response.headers.get("Retry-After", "")
    asked = float(said) if said.isdecimal() else _until(said)
    return max(else_s, min(asked, _LONGEST_PAUSE_S))


def _until(said: str) -> float:
    try:
        moment = parsedate_to_datetime(said)
        return (moment - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def _worth_another_try(status: int) -> bool:
    return status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR


def _verified(content: bytes, digest: str) -> bytes:
    if digests.of_bytes(content) != digest:
        raise RegistryError(
            "DIGEST_MISMATCH",
            f"other bytes than {digest} came back",
            "run it again; if it stays so, the registry's store is damaged: push again",
        )
    return content
