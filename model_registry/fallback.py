"""Referrers in a registry that has no referrers call: the fallback tag of the OCI specification.

The tag names one index that everybody reads, extends and writes, and no registry compares and
swaps. So that two who attach at once are both kept, each referrer is first put under a tag of its
own, which nobody else writes; then the index is written from what it says and from those tags,
and looked at again until it names them all. Whoever writes last has looked after all others had
put theirs. Reading adds those tags too: it is right also where a writer died in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model_registry import digests
from model_registry.answers import entries_of, object_of
from model_registry.errors import RegistryError
from model_registry.http import httpx
from model_registry.manifests import config_of, subject_of
from model_registry.media_types import IMAGE_INDEX, IMAGE_MANIFEST

if TYPE_CHECKING:
    from model_registry.client import RegistryClient

_ROUNDS = 200
Entry = dict[str, Any]


def add(client: RegistryClient, repository: str, subject: str, content: bytes) -> None:
    """Let a stored manifest be found by the one that it refers to."""
    client.put_tag(repository, _own_tag(subject, digests.of_bytes(content)), content)
    for _ in range(_ROUNDS):
        named = _index(client, repository, subject)
        missing = _missing(client, repository, subject, named)
        if not missing:
            return
        index = {
            "schemaVersion": 2,
            "mediaType": IMAGE_INDEX,
            "manifests": [*named, *missing],
        }
        client.put_tag(repository, _tag(subject), digests.canonical_json(index))
    raise RegistryError(
        "REFERRERS_CONTENDED",
        f"{client.url}: others keep writing the referrers of {subject}",
        "what was attached is stored; push again",
    )


def read(client: RegistryClient, repository: str, subject: str) -> list[Entry]:
    """Return what refers to a manifest, oldest first as far as that is known."""
    named = _index(client, repository, subject)
    return [*named, *_missing(client, repository, subject, named)]


def _tag(subject: str) -> str:
    return subject.replace(":", "-")


def _own_tag(subject: str, referrer: str) -> str:
    return f"{_tag(subject)}.{digests.check(referrer)[:32]}"  # a tag has 128 characters at most


def _index(client: RegistryClient, repository: str, subject: str) -> list[Entry]:
    path = f"/v2/{repository}/manifests/{_tag(subject)}"
    response = client.send("GET", path, headers={"Accept": IMAGE_INDEX})
    if response.status_code == httpx.codes.NOT_FOUND:
        return []
    what = f"what {client.url} answers for {repository}:{_tag(subject)}"
    return entries_of(client.checked(response, _tag(subject)).content, what)


def _missing(
    client: RegistryClient, repository: str, subject: str, named: list[Entry]
) -> list[Entry]:
    known = {_own_tag(subject, entry["digest"]) for entry in named}
    found = []
    for tag in client.tags(repository):
        if tag.startswith(f"{_tag(subject)}.") and tag not in known:
            content = _content(client, repository, tag)
            if content is None:
                continue  # still being put: whoever does will look after it
            document = object_of(content, f"{client.url}/{repository}:{tag}", "MANIFEST_INVALID")
            if subject_of(document) == subject:
                found.append(_entry(content, document))
    return found


def _content(client: RegistryClient, repository: str, tag: str) -> bytes | None:
    try:
        return client.manifest_bytes(repository, tag)
    except RegistryError as error:
        if error.code != "REGISTRY_NOT_FOUND":
            raise
        return None


def _entry(content: bytes, document: dict[str, Any]) -> Entry:
    return {
        "mediaType": document.get("mediaType", IMAGE_MANIFEST),
        "digest": digests.of_bytes(content),
        "size": len(content),
        "artifactType": document.get("artifactType") or config_of(document).media_type,
    }
