"""Where a lab's targets and workloads come from: the site file and the lab's own checkpoints.

Expected tokens are taken from the checkpoint layouts that the lab built, never from the site
that is under test.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.traffic.channel import Channel
from lab.traffic.client import Target
from lab.traffic.workload import FingerprintWorkload, PulseWorkload, Workload
from permafrost.pki import edge_trust
from permafrost.site.load import LoadedSite
from permafrost.site.model import Backend
from permafrost.topology import service_address

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
FILEPATH = "org.cncf.model.filepath"


def blob(layout: Path, digest: str) -> bytes:
    """Return a blob of an OCI image layout by its ``sha256:…`` digest."""
    return (layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()


def manifest(layout: Path, digest: str) -> dict[str, Any]:
    """Return a manifest of the layout."""
    document: dict[str, Any] = json.loads(blob(layout, digest))
    return document


def fingerprint(layout: Path, checkpoint: str) -> dict[str, Any]:
    """Return the fingerprint that refers to a checkpoint. Raises LabError where there is none."""
    try:
        index = json.loads((layout / "index.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise LabError("LAYOUT_UNREADABLE", str(error), "name an OCI image layout") from None
    for entry in index["manifests"]:
        if entry["mediaType"] != MANIFEST:
            continue
        document = manifest(layout, entry["digest"])
        if document.get("subject", {}).get("digest") == checkpoint:
            found: dict[str, Any] = json.loads(blob(layout, document["layers"][0]["digest"]))
            return found
    raise LabError(
        "FINGERPRINT_MISSING",
        f"{layout} holds no fingerprint of {checkpoint}",
        "the site pins another checkpoint than this lab built: run permafrost-lab up again",
    )


def weights(layout: Path, checkpoint: str, name: str) -> bytes:
    """Return one file of a checkpoint by its path."""
    for layer in manifest(layout, checkpoint)["layers"]:
        if layer.get("annotations", {}).get(FILEPATH) == name:
            return blob(layout, layer["digest"])
    raise LabError(
        "CHECKPOINT_FILE_MISSING",
        f"{checkpoint} has no file {name}",
        "name a checkpoint that ships it",
    )


def target(loaded: LoadedSite, endpoint: str, timeout_s: float) -> Target:
    """Return an endpoint's address and the checkpoint that must answer."""
    wanted = loaded.site.inference[endpoint]
    return Target(
        base_url=f"https://{service_address(loaded.site)}:{wanted.port}",
        model=endpoint,
        checkpoint=wanted.model.partition("@")[2],
        timeout_s=timeout_s,
        key=os.environ.get("PERMAFROST_CLIENT_KEY", ""),
    )


def workload(
    loaded: LoadedSite,
    endpoint: str,
    layout: Path,
    *,
    interval_ms: int,
    max_tokens: int,
    also: Mapping[str, Path] | None = None,
) -> Workload:
    """Return the endpoint's workload; interval and tokens matter to ``pulse`` only.

    ``also``: further checkpoints that may answer, by their digests: of ``pulse`` the file of the
    weights, of a language model the image layout with its fingerprint. Raises LabError where one
    cannot be read, or does not say what it answers to a question that is asked.
    """
    others = dict(also or {})
    wanted = loaded.site.inference[endpoint]
    checkpoint = wanted.model.partition("@")[2]
    if wanted.backend is Backend.PULSE:
        return PulseWorkload(
            weights(layout, checkpoint, "pulse.weights"),
            max_tokens=max_tokens,
            interval_ms=interval_ms,
            others={digest: _read(file) for digest, file in others.items()},
        )
    work = FingerprintWorkload(
        fingerprint(layout, checkpoint)["probes"],
        {digest: fingerprint(place, digest)["probes"] for digest, place in others.items()},
    )
    if unknown := work.unknown():
        raise LabError(
            "ANSWER_UNKNOWN",
            f"{', '.join(others)}: no recorded answer to {unknown[0]!r}",
            "both fingerprints have to be of the same questions",
        )
    return work


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise LabError("WEIGHTS_UNREADABLE", str(error), "DIGEST=FILE") from None


def channel(loaded: LoadedSite, name: str, to: Target, work: Workload) -> Channel:
    """Return a long-open gRPC stream to an endpoint at the first edge."""
    trust = edge_trust(loaded)
    called = "" if trust.name == str(service_address(loaded.site)) else trust.name
    # Asks of its own, far from those of the open-loop load and of other streams.
    first = int(name.rpartition("-g")[2]) * 1_000_000 + 500_000_000
    return Channel(
        name, to.base_url.removeprefix("https://"), trust.pem.encode(), to, work, first, called
    )


def tls(loaded: LoadedSite) -> ssl.SSLContext:
    """Return a context that knows the edges as their clients do, whatever they are called.

    Load goes to an address; a certificate of the site's owner may name none.
    """
    trust = edge_trust(loaded)
    context = trust.context()
    context.check_hostname = trust.name == str(service_address(loaded.site))
    return context
