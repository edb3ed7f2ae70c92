"""Fingerprints in the site's registry, as referrers of their checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from model_registry.client import RegistryClient
from model_registry.errors import RegistryError
from model_registry.fingerprint import probes, referrers
from model_registry.lineage import from_text
from model_registry.media_types import LINEAGE
from permafrost.adapters.models import translated
from permafrost.site.load import LoadedSite
from permafrost.site.pins import checkpoint_repository, digest_of


class OciFingerprints:
    """The site's registry, seen as the place of fingerprints."""

    def __init__(self, loaded: LoadedSite) -> None:
        self._loaded = loaded

    @translated()
    def known(self, pinned: str) -> tuple[Mapping[str, object], ...]:
        """Return every fingerprint of a checkpoint, the oldest first."""
        with self._client() as client:
            return referrers.all_in_registry(
                client, checkpoint_repository(pinned), digest_of(pinned)
            )

    @translated()
    def of_parents(self, pinned: str) -> tuple[Mapping[str, object], ...]:
        """Return those of what the checkpoint was made from, as far as they are there."""
        repository = checkpoint_repository(pinned)
        found: list[Mapping[str, object]] = []
        with self._client() as client:
            told = client.manifest(repository, digest_of(pinned)).get("annotations", {})
            if LINEAGE not in told:
                return ()
            for parent in from_text(told[LINEAGE]).parents:
                try:
                    found += referrers.all_in_registry(client, repository, parent.digest)
                except RegistryError as error:
                    if error.code != "REGISTRY_NOT_FOUND":
                        raise
        return tuple(found)

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

    @contextmanager
    def _client(self) -> Iterator[RegistryClient]:
        registry = self._loaded.site.registry
        password = self._loaded.resolve(registry.password_file).read_text(encoding="utf-8")
        with RegistryClient(
            registry.url,
            username=registry.username,
            password=password.strip(),
            ca_file=self._loaded.resolve(registry.ca_file),
        ) as client:
            yield client
