"""Filling the lab's registry with the built image and checkpoints; what is there is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.errors import LabError
from lab.instance.model import Instance
from lab.services import registry
from model_registry.client import RegistryClient
from model_registry.errors import RegistryError
from model_registry.transfer import push_layout


@contextmanager
def _client(instance: Instance) -> Iterator[RegistryClient]:
    try:
        with RegistryClient(
            f"oci://{instance.registry_address}",
            username=registry.USER,
            password=(instance.registry_dir / "password").read_text().strip(),
            ca_file=instance.ca_dir / "ca.pem",
        ) as client:
            yield client
    except RegistryError as error:
        raise LabError(error.code, error.message, error.hint) from error


def ensure_image(instance: Instance, part: Path, repository: str) -> str:
    """Push a built image unless it is there; return its digest."""
    digest = _digest(part)
    with _client(instance) as client:
        if not client.has_manifest(repository, digest):
            _push(client, part, repository, digest)
    return digest


def ensure_checkpoint(instance: Instance, part: Path, repository: str) -> str:
    """Push a checkpoint with its fingerprint unless both are there; return its digest."""
    digest = _digest(part)
    with _client(instance) as client:
        # The fingerprint is pushed last, so where it is found all is there.
        if not client.referrers(repository, digest):
            _push(client, part, repository, digest)
    return digest


def _digest(part: Path) -> str:
    return (part / "digest").read_text().strip()


def _push(client: RegistryClient, part: Path, repository: str, digest: str) -> None:
    pushed = push_layout(part / "oci", client, repository)
    if pushed != digest:
        raise LabError(
            "PART_DIGEST_DIFFERS",
            f"{part} says {digest} but holds {pushed}",
            "remove that folder and build it again",
        )
