"""Fingerprints in the site's registry, as referrers of their checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from model_registry.catalogue.model import NAME
from model_registry.client import RegistryClient
from model_registry.fingerprint import baselines, probes, referrers
from model_registry.http import httpx
from model_registry.lineage import from_text
from model_registry.media_types import LINEAGE
from model_registry.signing import SigningKey
from permafrost.adapters.models import open_remote, policy_of, translated
from permafrost.site.load import LoadedSite
from permafrost.site.pins import checkpoint_repository, digest_of

FINGERPRINT_SIGNED = "fingerprint"


class OciFingerprints:
    """The site's registry, seen as the place of fingerprints."""

    def __init__(
        self, loaded: LoadedSite, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._loaded = loaded
        self._transport = transport  # stands in for the network

    @translated()
    def known(self, pinned: str) -> tuple[Mapping[str, object], ...]:
        """Return every fingerprint of a checkpoint, the oldest first.

        Where the site demands it: those alone that one of its signers has signed.
        """
        repository, digest = checkpoint_repository(pinned), digest_of(pinned)
        policy = policy_of(self._loaded)
        with self._client() as client:
            found = referrers.found_in_registry(client, repository, digest)
            if FINGERPRINT_SIGNED in policy.required_for:
                found = baselines.require_signed(client, repository, found, policy.signers)
        return tuple(referrers.read_of(one, digest) for one in found)

    @translated()
    def sign(self, pinned: str, key: SigningKey) -> tuple[str, ...]:
        """Sign every fingerprint of a checkpoint; returns the digests of those that were."""
        repository, digest = checkpoint_repository(pinned), digest_of(pinned)
        with self._client() as client:
            found = referrers.found_in_registry(client, repository, digest)
            for one in found:
                referrers.read_of(one, digest)
                baselines.sign(client, repository, one, key)
        return tuple(one.artifact for one in found)

    @translated()
    def of_parents(self, pinned: str) -> tuple[Mapping[str, object], ...]:
        """Return those of what the checkpoint was made from, as far as they are there.

        A parent is often another model's: it is looked for under its own name too, and under the
        names that the site serves.
        """
        repository = checkpoint_repository(pinned)
        found: list[Mapping[str, object]] = []
        with self._client() as client:
            told = client.manifest(repository, digest_of(pinned)).get("annotations", {})
            if LINEAGE not in told:
                return ()
            for parent in from_text(told[LINEAGE]).parents:
                for place in self._places(repository, parent.name):
                    if client.has_manifest(place, parent.digest):
                        found += referrers.all_in_registry(client, place, parent.digest)
                        break
        return tuple(found)

    def _places(self, repository: str, name: str) -> Iterator[str]:
        models = (endpoint.model for endpoint in self._loaded.site.inference.values())
        named = [n for n in (name, *(m.partition("@")[0] for m in models)) if NAME.fullmatch(n)]
        yield from dict.fromkeys((repository, *map(checkpoint_repository, named)))

    @translated()
    def probe_set(self, pinned: str) -> bytes | None:
        """Return the probe set that the checkpoint ships, None where it ships none."""
        repository = checkpoint_repository(pinned)
        with self._client() as client:
            digest = probes.in_manifest(client.manifest(repository, digest_of(pinned)))
            return client.blob(repository, digest) if digest else None

    @translated()
    def add(self, pinned: str, fingerprint: Mapping[str, Any]) -> str:
        """Attach a fingerprint to its checkpoint; returns the digest of what was attached."""
        with self._client() as client:
            return referrers.push(
                client, checkpoint_repository(pinned), digest_of(pinned), fingerprint
            )

    def _client(self) -> RegistryClient:
        return open_remote(self._loaded, transport=self._transport)
