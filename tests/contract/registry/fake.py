"""A registry in memory that speaks the distribution protocol to httpx, and can misbehave."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import threading
from collections.abc import Callable

import httpx

USER, PASSWORD = "reader", "not-a-secret"
INDEX = "application/vnd.oci.image.index.v1+json"


class FakeRegistry:
    """Holds blobs and manifests by repository; ``faults`` are answers given before real ones."""

    def __init__(self, *, lists_referrers: bool = False) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.uploads: dict[str, bytes] = {}
        self.requests: list[httpx.Request] = []
        self.faults: list[Callable[[httpx.Request], httpx.Response | None]] = []
        self._sessions = itertools.count()
        self._lists_referrers = lists_referrers
        self._at_work = threading.RLock()

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer one request after the other: threads ask at once. A fault may ask, too."""
        with self._at_work:
            return self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        for fault in list(self.faults):
            answer = fault(request)
            if answer is not None:
                self.faults.remove(fault)
                return answer
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.headers.get("Authorization") != wanted:
            return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="registry"'})
        if request.url.path == "/v2/":
            return httpx.Response(200, json={})
        repository, kind, reference = self._parse(request.url.path)
        return getattr(self, f"_{kind}")(request, repository, reference)

    @staticmethod
    def _parse(path: str) -> tuple[str, str, str]:
        parts = path.removeprefix("/v2/").split("/")
        if "uploads" in parts:
            place = parts.index("uploads")
            return "/".join(parts[: place - 1]), "uploads", "/".join(parts[place + 1 :])
        return "/".join(parts[:-2]), parts[-2], parts[-1]

    def _blobs(self, request: httpx.Request, _: str, digest: str) -> httpx.Response:
        if digest not in self.blobs:
            return httpx.Response(404)
        content = self.blobs[digest] if request.method == "GET" else b""
        return httpx.Response(200, content=content)

    def _uploads(self, request: httpx.Request, repository: str, session: str) -> httpx.Response:
        if request.method == "POST":
            session = f"session-{next(self._sessions)}"
            self.uploads[session] = b""
        elif request.method == "PATCH":
            start = int(request.headers["Content-Range"].partition("-")[0])
            if start != len(self.uploads[session]):
                return httpx.Response(416)
            self.uploads[session] += request.content
        elif request.method == "PUT":
            content = self.uploads.pop(session) + request.content
            digest = request.url.params["digest"]
            if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
                return httpx.Response(400)
            self.blobs[digest] = content
            return httpx.Response(201)
        last = max(len(self.uploads[session]) - 1, 0)
        location = f"/v2/{repository}/blobs/uploads/{session}"
        return httpx.Response(202, headers={"Location": location, "Range": f"0-{last}"})

    def _manifests(self, request: httpx.Request, repository: str, ref: str) -> httpx.Response:
        if request.method == "PUT":
            digest = f"sha256:{hashlib.sha256(request.content).hexdigest()}"
            stored = (request.headers["Content-Type"], request.content)
            self.manifests[repository, digest] = self.manifests[repository, ref] = stored
            listed = self._lists_referrers and "subject" in json.loads(request.content)
            return httpx.Response(201, headers={"OCI-Subject": "yes"} if listed else {})
        if (repository, ref) not in self.manifests:
            return httpx.Response(404)
        kind, content = self.manifests[repository, ref]
        body = content if request.method == "GET" else b""
        return httpx.Response(200, content=body, headers={"Content-Type": kind})

    def _tags(self, request: httpx.Request, repository: str, _: str) -> httpx.Response:
        """Two a page, as a large registry gives them."""
        found = sorted(r for where, r in self.manifests if where == repository and ":" not in r)
        if not found:
            return httpx.Response(404)
        page = [t for t in found if t > request.url.params.get("last", "")]
        link = f'</v2/{repository}/tags/list?n=2&last={page[1]}>; rel="next"' if page[2:] else ""
        headers = {"Link": link} if link else {}
        return httpx.Response(200, json={"tags": page[:2]}, headers=headers)

    def _referrers(self, _: httpx.Request, repository: str, digest: str) -> httpx.Response:
        if not self._lists_referrers:
            return httpx.Response(404)
        found = []
        for (where, ref), (kind, content) in self.manifests.items():
            document = json.loads(content)
            if where != repository or not ref.startswith("sha256:"):
                continue
            if document.get("subject", {}).get("digest") == digest:
                entry = {"mediaType": kind, "digest": ref, "size": len(content)}
                found.append({**entry, "artifactType": document["artifactType"]})
        return httpx.Response(200, json={"mediaType": INDEX, "manifests": found})
