"""Whole artifacts between an OCI layout and a registry: blobs first, names last.

Blobs move several at a time. What was cut goes on where it stopped when it is run again: whole
blobs are not moved again, and a pull keeps what arrived of the others beside them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

from model_registry import digests
from model_registry.answers import entries_of, object_of
from model_registry.client import RegistryClient
from model_registry.errors import RegistryError, RegistryRefused
from model_registry.layout import OciLayout
from model_registry.manifests import config_of, layers_of, subject_of
from model_registry.media_types import IMAGE_INDEX
from model_registry.meter import Meter

AT_ONCE = min(4, max(2, os.cpu_count() or 1))
"""Blobs at a time. Each stream decrypts and hashes: more than cores get in each other's way."""
_WORTH_THREADS = 1 << 20
_Blob = tuple[str, int]
_Nobody: tuple[str, ...] = ()


def push_layout(
    layout: Path,
    client: RegistryClient,
    repository: str,
    *,
    move_tags: bool = False,
    meter: Meter | None = None,
) -> str:
    """Push all that a layout's index names; returns the digest of its first subject-less manifest.

    Refused (TAG_TAKEN), with nothing sent, where one of its tags names other content there, unless
    tags may move.

    Manifests that refer to another one are pushed after it, so nobody finds a fingerprint whose
    checkpoint is not there yet.
    """
    store = OciLayout(layout)
    entries = [(e, store.read_json(e.digest)) for e in store.entries()]
    if not entries:
        raise RegistryError(
            "LAYOUT_EMPTY", f"{layout} names no manifest", "name a layout that holds a checkpoint"
        )
    entries.sort(key=lambda pair: "subject" in pair[1])
    if not move_tags:
        for entry, _ in entries:
            if entry.tag:
                require_tag_free(client, repository, entry.tag, entry.digest)
    meter = meter or Meter()
    for entry, _ in entries:
        tags = [entry.tag] if entry.tag else []
        _push_manifest(store, client, repository, entry.digest, tags, meter, lambda _: _Nobody)
    return entries[0][0].digest


def require_tag_free(
    client: RegistryClient, repository: str, tag: str, digest: str, code: str = "TAG_TAKEN"
) -> None:
    """Refuse where a tag of the registry names other content than this."""
    if not client.has_manifest(repository, tag):
        return
    there = digests.of_bytes(client.manifest_bytes(repository, tag))
    if there != digest:
        raise RegistryRefused(
            code,
            f"{repository}:{tag} is {there} in the registry, not {digest}",
            "other content needs a tag of its own",
        )


def push(
    store: OciLayout,
    client: RegistryClient,
    repository: str,
    digest: str,
    *,
    tags: Sequence[str] = (),
    meter: Meter | None = None,
    lenders: Callable[[str], Sequence[str]] = lambda _: _Nobody,
) -> None:
    """Push one checkpoint and what refers to it.

    ``lenders`` returns repositories of the registry that may hold a blob: they are asked to lend
    it before it is sent.
    """
    meter = meter or Meter()
    _push_manifest(store, client, repository, digest, tags, meter, lenders)
    for entry in dict.fromkeys(e.digest for e in store.entries()):
        if subject_of(store.read_json(entry)) == digest:
            _push_manifest(store, client, repository, entry, (), meter, lenders)


def pull(
    client: RegistryClient,
    repository: str,
    digest: str,
    layout: OciLayout,
    meter: Meter | None = None,
) -> str:
    """Pull one manifest with its blobs and what refers to it; returns its digest."""
    meter = meter or Meter()
    _pull_manifest(client, repository, digest, layout, meter)
    for referrer in client.referrers(repository, digest):
        _pull_manifest(client, repository, referrer["digest"], layout, meter)
    return digest


def pull_blobs(
    client: RegistryClient,
    repository: str,
    blobs: Iterable[_Blob],
    layout: OciLayout,
    meter: Meter,
) -> None:
    """Pull blobs (digest, size) that the layout lacks, each verified before it is visible.

    What the layout has is read: damaged bytes are pulled again.
    """

    def one(blob: _Blob) -> None:
        digest, size = blob
        if layout.holds(digest):
            meter.spare(size)
            return
        is_damaged = layout.has(digest)

        def fill(file: BinaryIO) -> None:
            meter.spare(min(file.seek(0, os.SEEK_END), size))
            client.download(repository, digest, file, meter)

        layout.receive(digest, fill, is_damaged=is_damaged)

    _all_at_once(one, blobs, meter)


def _push_manifest(
    store: OciLayout,
    client: RegistryClient,
    repository: str,
    digest: str,
    tags: Sequence[str],
    meter: Meter,
    lenders: Callable[[str], Sequence[str]],
) -> None:
    content = store.read(digest)
    document: dict[str, Any] = json.loads(content)
    if document.get("mediaType") == IMAGE_INDEX:
        for child in document["manifests"]:
            _push_manifest(store, client, repository, child["digest"], (), meter, lenders)

    def one(blob: _Blob) -> None:
        with store.stream(blob[0]) as file:
            others = [r for r in lenders(blob[0]) if r != repository]
            try:
                client.upload(
                    repository, blob[0], file, store.size(blob[0]), mount_from=others, meter=meter
                )
            except RegistryError as error:
                raise (_damaged(store, blob[0]) or error) from error

    _all_at_once(one, _blobs(document), meter)
    client.put_manifest(repository, content, *tags)


def _damaged(store: OciLayout, digest: str) -> RegistryError | None:
    """Return the error that it is our bytes, where it is they that a registry refused."""
    if digests.of_file(store.blob_path(digest)) == digest:
        return None
    return RegistryError(
        "BLOB_CHANGED",
        f"the stored bytes of {digest} are others",
        "`verify` names the file; add or import the same files again",
    )


def _pull_manifest(
    client: RegistryClient, repository: str, digest: str, layout: OciLayout, meter: Meter
) -> None:
    content = client.manifest_bytes(repository, digest)
    what = f"{client.url}/{repository}@{digest}"
    document = object_of(content, what, "MANIFEST_INVALID")
    for child in entries_of(content, what):
        _pull_manifest(client, repository, child["digest"], layout, meter)
    pull_blobs(client, repository, _blobs(document), layout, meter)
    layout.add_manifest_bytes(content)


def _all_at_once(one: Callable[[_Blob], None], blobs: Iterable[_Blob], meter: Meter) -> None:
    """Move blobs side by side, the largest first; the first error ends it."""
    wanted = sorted(dict(blobs).items(), key=lambda blob: -blob[1])
    total = sum(size for _, size in wanted)
    meter.expect(total)
    if total < _WORTH_THREADS:
        for blob in wanted:
            one(blob)
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = [pool.submit(one, blob) for blob in wanted]
        try:
            for task in running:
                task.result()
        finally:
            for task in running:
                task.cancel()


def _blobs(document: dict[str, Any]) -> Iterator[_Blob]:
    """Yield digest and size of what a manifest needs; an index needs no blobs."""
    for described in (
        *((config_of(document),) if "config" in document else ()),
        *(layers_of(document) if "layers" in document else ()),
    ):
        yield described.digest, described.size
