"""The catalogue port on an OCI registry: pins are looked up by digest and checked by it."""

from __future__ import annotations

import hashlib
import ssl
from functools import cache, cached_property
from typing import Any

from model_registry.answers import object_of
from model_registry.auth import RegistryAuth
from model_registry.checkpoint import files_of
from model_registry.errors import RegistryError
from model_registry.fingerprint.baselines import signed_by
from model_registry.fingerprint.referrers import found_in_registry
from model_registry.http import httpx
from model_registry.media_types import CONTEXT_TOKENS, FINGERPRINT, SIGNATURE
from model_registry.referring import attached_in_registry
from model_registry.signatures import Checked, check_signatures
from model_registry.wire import KeptTransport, WireTransport
from permafrost.adapters.checkpoint_metadata import architecture_of, clients_view_of
from permafrost.adapters.fingerprints import FINGERPRINT_SIGNED
from permafrost.adapters.models import open_remote, policy_of, translated
from permafrost.errors import Failed, Problem, Refused
from permafrost.facts import CheckpointFacts
from permafrost.pki import registry_ca
from permafrost.site.load import LoadedSite
from permafrost.site.pins import checkpoint_repository, digest_of, image_repository

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CHECKPOINT = "application/vnd.cncf.model.manifest.v1+json"
IDLE_S = 15.0


class OciCatalog:
    """The site's registry; ``transport`` stands in for the network."""

    def __init__(
        self, loaded: LoadedSite, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._loaded = loaded
        self._given = transport

    @cached_property
    def _transport(self) -> httpx.BaseTransport:
        """What all questions go by: one that follows another takes its connection."""
        return self._given or KeptTransport(WireTransport(self._context(), idle_s=IDLE_S))

    def resolve(self, pinned: str) -> CheckpointFacts:
        """Return what ``name@sha256:…`` stands for; Refused when it is not there."""
        name, digest = checkpoint_repository(pinned), digest_of(pinned)
        with self._client() as client:
            manifest = self._manifest(client, name, digest)
            if manifest is None:
                raise Refused(
                    Problem(
                        "CHECKPOINT_MISSING",
                        f"the registry has no {pinned}",
                        hint="push it there, or correct the pin",
                    )
                )
            if manifest.get("artifactType") != CHECKPOINT:
                raise Refused(
                    Problem(
                        "CHECKPOINT_OTHER_KIND",
                        f"{pinned} is no checkpoint: it is a "
                        f"{manifest.get('artifactType') or 'container image'}",
                        hint="pin a checkpoint: `permafrost model list` shows them",
                    )
                )
            layers = manifest.get("layers") or []

            @cache
            def fetch(blob: str, most: int) -> bytes | None:
                return self._beginning(client, name, blob, most)

            told = manifest.get("annotations") or {}
            seen = clients_view_of(layers, fetch)
            checked = self._signatures(name, digest, manifest)
            return CheckpointFacts(
                name=name,
                digest=digest,
                files=len(layers),
                bytes=sum(int(layer["size"]) for layer in layers),
                has_fingerprint=self._has_fingerprint(name, digest),
                architecture=architecture_of(layers, fetch),
                signatures=checked.count,
                signed_by=checked.signed_by,
                unsigned_why=checked.reasons,
                context_tokens=_number(told.get(CONTEXT_TOKENS)) or seen.context_tokens,
                tokenizer=seen.tokenizer,
                contract=seen.contract,
            )

    def ping(self) -> None:
        """Raise Failed unless the registry answers, is trusted, and takes user and password."""
        with self._client() as client:
            self._get(client, "/v2/")

    def has_image(self, pinned: str) -> bool:
        """Whether the registry holds a container image."""
        with self._client() as client:
            manifest = self._manifest(client, image_repository(pinned), digest_of(pinned))
        return manifest is not None

    def _beginning(self, client: httpx.Client, name: str, digest: str, most: int) -> bytes | None:
        """Return the first bytes of a blob; None where the registry does not give them."""
        headers = {"Range": f"bytes=0-{most - 1}"}
        got = bytearray()  # the header of a large vocabulary has thousands of pieces
        try:
            with client.stream("GET", f"/v2/{name}/blobs/{digest}", headers=headers) as answer:
                if answer.status_code not in (200, 206):
                    return None
                # A registry without ranges sends the whole blob: no more of it is read.
                for chunk in answer.iter_bytes():
                    got += chunk
                    if len(got) >= most:
                        break
        except httpx.HTTPError:
            return None
        return bytes(got[:most])

    def _client(self) -> httpx.Client:
        registry = self._loaded.site.registry
        password = self._loaded.resolve(registry.password_file).read_text().strip()
        return httpx.Client(
            base_url=f"https://{registry.authority}",
            auth=RegistryAuth(registry.username, password),
            transport=self._transport,
            trust_env=False,
        )

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(registry_ca(self._loaded)))

    @translated()
    def _signatures(self, name: str, digest: str, manifest: dict[str, Any]) -> Checked:
        policy = policy_of(self._loaded)
        if not policy.signers:
            return Checked(0, (), ())
        with open_remote(self._loaded, transport=self._transport) as client:
            found = attached_in_registry(client, name, digest, SIGNATURE)
        return check_signatures(found, digest, files_of(manifest), policy.signers)

    def _manifest(self, client: httpx.Client, name: str, reference: str) -> dict[str, Any] | None:
        answer = self._get(client, f"/v2/{name}/manifests/{reference}")
        if answer is None:
            return None
        found = "sha256:" + hashlib.sha256(answer).hexdigest()
        if reference.startswith("sha256:") and found != reference:
            raise Failed(
                Problem(
                    "REGISTRY_DIGEST_MISMATCH",
                    f"asked for {name}@{reference}, got {found}",
                    "registry.url",
                    "its store is damaged, or something between changes answers: push it again",
                )
            )
        return _object(answer, f"{name}@{reference}")

    @translated()
    def _has_fingerprint(self, name: str, digest: str) -> bool:
        """Whether there is a fingerprint; where the site demands it, one that a signer signed."""
        policy = policy_of(self._loaded)
        # A registry with the referrers call keeps no fallback tag: the client knows both ways.
        with open_remote(self._loaded, transport=self._transport) as client:
            if FINGERPRINT_SIGNED not in policy.required_for:
                found = client.referrers(name, digest)
                return any(entry.get("artifactType") == FINGERPRINT for entry in found)
            return any(
                signed_by(client, name, found, policy.signers)
                for found in found_in_registry(client, name, digest)
            )

    def _get(self, client: httpx.Client, path: str) -> bytes | None:
        url = self._loaded.site.registry.url
        try:
            answer = client.get(path, headers={"Accept": f"{MANIFEST}, {INDEX}"})
        except RegistryError as error:  # a token was asked for, and its realm gave none
            raise _login(f"{url}: {error.message}") from None
        except httpx.HTTPError as error:
            raise Failed(
                Problem(
                    "REGISTRY_UNREACHABLE",
                    f"{url} does not answer: {error}",
                    "registry.url",
                    "check the address and registry.ca_file, and that the registry runs",
                )
            ) from None
        if answer.status_code == 404:
            return None
        if answer.status_code in (401, 403):
            raise _login(f"{url} does not accept this user and password")
        if answer.status_code != 200:
            raise Failed(
                Problem(
                    "REGISTRY_FAILED",
                    f"{url}{path} answered {answer.status_code}",
                    "registry.url",
                    "look at the registry's own log; then run it again",
                )
            )
        return answer.content


def _login(seen: str) -> Failed:
    return Failed(
        Problem(
            "REGISTRY_LOGIN",
            seen,
            "registry.username",
            "check registry.username and the file that registry.password_file names",
        )
    )


@translated()
def _object(answer: bytes, what: str) -> dict[str, Any]:
    return object_of(answer, what, "MANIFEST_INVALID")


def _number(text: object) -> int | None:
    return int(str(text)) if str(text or "").isdigit() else None
