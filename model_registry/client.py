"""A registry by the OCI distribution protocol, over HTTPS.

Every blob is verified while it passes. A request that met a network error, 429 or 5xx is sent
again a few times; an upload goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from model_registry import digests
from model_registry.auth import RegistryAuth
from model_registry.errors import RegistryError
from model_registry.media_types import IMAGE_INDEX, IMAGE_MANIFEST

CHUNK = 16 << 20
_ATTEMPTS = 5
_FIRST_PAUSE_S = 0.2
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
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
            raise RegistryError("REGISTRY_URL_INVALID", f"{url!r} is not oci://host[:port]")
        self.url = url.rstrip("/")
        self._pause = pause
        self._http = httpx.Client(
            base_url="https://" + self.url.removeprefix("oci://"),
            auth=RegistryAuth(username, password),
            verify=ssl.create_default_context(cafile=None if ca_file is None else str(ca_file)),
            timeout=_TIMEOUT,
            transport=transport,
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
        self._checked(self._send("GET", "/v2/"), "the registry")

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether the repository holds a blob."""
        digests.check(digest)
        return self._exists(f"/v2/{repository}/blobs/{digest}", digest)

    def has_manifest(self, repository: str, reference: str) -> bool:
        """Whether the repository holds a manifest, by digest or tag."""
        return self._exists(f"/v2/{repository}/manifests/{reference}", reference)

    def blob(self, repository: str, digest: str) -> bytes:
        """Return a small blob, verified."""
        response = self._checked(self._send("GET", f"/v2/{repository}/blobs/{digest}"), digest)
        return _verified(response.content, digest)

    def download(self, repository: str, digest: str, target: BinaryIO) -> int:
        """Write a blob into ``target``, verified at its end; returns its size."""
        sha, size = hashlib.sha256(), 0
        with self._http.stream("GET", f"/v2/{repository}/blobs/{digest}") as response:
            self._checked(response, digest)
            for chunk in response.iter_bytes(1 << 20):
                sha.update(chunk)
                target.write(chunk)
                size += len(chunk)
        if f"sha256:{sha.hexdigest()}" != digest:
            raise RegistryError("DIGEST_MISMATCH", f"{repository}: other bytes than {digest}")
        return size

    def manifest_bytes(self, repository: str, reference: str) -> bytes:
        """Return a manifest's bytes, verified where it was asked for by digest."""
        path = f"/v2/{repository}/manifests/{reference}"
        response = self._checked(self._send("GET", path, headers={"Accept": _ACCEPT}), reference)
        if len(response.content) > _LARGEST_MANIFEST:
            raise RegistryError("MANIFEST_INVALID", f"{repository}: a manifest over 4 MiB")
        if reference.startswith("sha256:"):
            return _verified(response.content, reference)
        return response.content

    def manifest(self, repository: str, reference: str) -> dict[str, Any]:
        """Return a manifest."""
        document = json.loads(self.manifest_bytes(repository, reference))
        if not isinstance(document, dict):
            raise RegistryError("MANIFEST_INVALID", f"{repository}: {reference} is no object")
        return document

    def put_manifest(self, repository: str, content: bytes, *tags: str) -> str:
        """Store a manifest by digest, then under each tag; keeps the referrers' tag in step."""
        digest = digests.of_bytes(content)
        document = json.loads(content)
        headers = {"Content-Type": document.get("mediaType", IMAGE_MANIFEST)}
        listed = False
        for reference in (digest, *tags):
            path = f"/v2/{repository}/manifests/{reference}"
            response = self._send("PUT", path, content=content, headers=headers)
            self._checked(response, f"{repository}@{reference}")
            listed = "oci-subject" in response.headers
        if "subject" in document and not listed:
            self._add_referrer(repository, document, content)
        return digest

    def referrers(self, repository: str, digest: str) -> list[dict[str, Any]]:
        """Return what refers to a manifest: by the referrers call, else by the fallback tag."""
        digests.check(digest)
        response = self._send("GET", f"/v2/{repository}/referrers/{digest}")
        if response.status_code == httpx.codes.OK:
            return list(response.json().get("manifests", []))
        return self._fallback(repository, digest)

    def upload(self, repository: str, digest: str, source: BinaryIO, size: int) -> bool:
        """Store a blob unless it is there; returns whether it was sent."""
        if self.has_blob(repository, digest):
            return False
        location = self._location(self._send("POST", f"/v2/{repository}/blobs/uploads/"), digest)
        sent = 0
        while size - sent > CHUNK:
            source.seek(sent)
            location, sent = self._send_chunk(location, source.read(CHUNK), sent, digest)
        source.seek(sent)
        response = self._send(
            "PUT",
            str(httpx.URL(location).copy_add_param("digest", digest)),
            content=source.read(),
            headers={"Content-Type": "application/octet-stream"},
        )
        self._checked(response, digest)
        return True

    def _send_chunk(self, location: str, chunk: bytes, start: int, what: str) -> tuple[str, int]:
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"{start}-{start + len(chunk) - 1}",
        }
        try:
            response = self._http.patch(location, content=chunk, headers=headers)
        except httpx.TransportError:
            self._pause(_FIRST_PAUSE_S)
            response = self._send("GET", location)  # how far did it get?
        location = self._location(response, what)
        last = int(response.headers.get("range", f"0-{start + len(chunk) - 1}").partition("-")[2])
        return location, last + 1 if last else 0

    def _location(self, response: httpx.Response, what: str) -> str:
        self._checked(response, what)
        return str(response.url.join(response.headers["location"]))

    def _exists(self, path: str, what: str) -> bool:
        response = self._send("HEAD", path, headers={"Accept": _ACCEPT})
        if response.status_code == httpx.codes.NOT_FOUND:
            return False
        self._checked(response, what)
        return True

    def _fallback(self, repository: str, digest: str) -> list[dict[str, Any]]:
        tag = digest.replace(":", "-")
        path = f"/v2/{repository}/manifests/{tag}"
        response = self._send("GET", path, headers={"Accept": IMAGE_INDEX})
        if response.status_code == httpx.codes.NOT_FOUND:
            return []
        return list(self._checked(response, tag).json().get("manifests", []))

    def _add_referrer(self, repository: str, document: dict[str, Any], content: bytes) -> None:
        subject = document["subject"]["digest"]
        digest = digests.of_bytes(content)
        known = self._fallback(repository, subject)
        if known and known[-1]["digest"] == digest:
            return
        entry = {
            "mediaType": document.get("mediaType", IMAGE_MANIFEST),
            "digest": digest,
            "size": len(content),
            "artifactType": document.get("artifactType", document["config"]["mediaType"]),
        }
        index = {
            "schemaVersion": 2,
            "mediaType": IMAGE_INDEX,
            "manifests": [*(k for k in known if k["digest"] != digest), entry],
        }
        path = f"/v2/{repository}/manifests/{subject.replace(':', '-')}"
        body = digests.canonical_json(index)
        response = self._send("PUT", path, content=body, headers={"Content-Type": IMAGE_INDEX})
        self._checked(response, f"the referrers of {subject}")

    def _send(self, method: str, path: str, **rest: Any) -> httpx.Response:
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                response = self._http.request(method, path, **rest)
            except httpx.TransportError as error:
                if attempt == _ATTEMPTS or "CERTIFICATE" in str(error):
                    raise RegistryError(
                        "REGISTRY_UNREACHABLE",
                        f"{self.url}: {error}",
                        "is it up, is its CA right?",
                    ) from error
            else:
                if attempt == _ATTEMPTS or not _worth_another_try(response.status_code):
                    return response
            self._pause(pause_s)
            pause_s *= 2
        raise AssertionError("unreachable")

    def _checked(self, response: httpx.Response, what: str) -> httpx.Response:
        status = response.status_code
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise RegistryError(
                "REGISTRY_DENIED", f"{self.url} denies {what}", "check user and password"
            )
        if status == httpx.codes.NOT_FOUND:
            raise RegistryError("REGISTRY_NOT_FOUND", f"{self.url} does not hold {what}")
        if status >= httpx.codes.BAD_REQUEST:
            raise RegistryError("REGISTRY_FAILED", f"{self.url}: status {status} for {what}")
        return response


def _worth_another_try(status: int) -> bool:
    return status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR


def _verified(content: bytes, digest: str) -> bytes:
    if digests.of_bytes(content) != digest:
        raise RegistryError("DIGEST_MISMATCH", f"other bytes than {digest} came back")
    return content
