"""Checkpoints made from others by hand: OCI layouts read and written as the specification says.

Nothing of the product is used: what is made here is what somebody else's tool would make.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REF_NAME = "org.opencontainers.image.ref.name"
LINEAGE = "vnd.permafrost.lineage"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
FINGERPRINT = "application/vnd.permafrost.fingerprint.v1+json"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Bundle:
    """Blobs and what an index names, written as one OCI archive."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    named: list[dict[str, Any]] = field(default_factory=list)

    def blob(self, content: bytes) -> dict[str, Any]:
        self.blobs[digest_of(content)] = content
        return {"digest": digest_of(content), "size": len(content)}

    def manifest(self, document: dict[str, Any], tag: str = "") -> str:
        described = self.blob(json.dumps(document).encode())
        entry = {
            "mediaType": MANIFEST,
            **described,
            "artifactType": document["artifactType"],
            **({"annotations": {REF_NAME: tag}} if tag else {}),
        }
        self.named.append(entry)
        return str(described["digest"])

    def write(self, path: Path) -> Path:
        index = {"schemaVersion": 2, "manifests": self.named}
        with tarfile.open(path, "w") as archive:
            _put(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            _put(archive, "index.json", json.dumps(index).encode())
            for digest, content in self.blobs.items():
                _put(archive, f"blobs/sha256/{digest.removeprefix('sha256:')}", content)
        return path


class Layout:
    """An OCI image layout, read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, digest: str) -> bytes:
        return (self.path / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()

    def json(self, digest: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.read(digest))
        return found

    def referrers(self, subject: str, kind: str) -> Iterable[dict[str, Any]]:
        index = json.loads((self.path / "index.json").read_bytes())
        for entry in index["manifests"]:
            document = self.json(entry["digest"])
            refers = document.get("subject", {}).get("digest") == subject
            if refers and document["artifactType"] == kind:
                yield document


def fine_tuned_weights(layout: Layout, parent: str, flip: int = 1) -> bytes:
    """Return the weights of what ``fine_tuned_pulse`` makes; ``flip``: which bits it changes."""
    weights = bytearray(layout.read(layout.json(parent)["layers"][0]["digest"]))
    for at in range(0, len(weights), 4096):
        weights[at] ^= flip
    return bytes(weights)


def fine_tuned_pulse(
    layout: Layout,
    parent: str,
    label: str,
    target: Path,
    *,
    flip: int = 1,
    is_right: bool = True,
) -> str:
    """Change weights of pulse, say so in its lineage, and record what it must answer now.

    ``flip``: which bits; others make another checkpoint.
    Where it is not right, what is recorded is another's: the last probe's last token differs.
    """
    bundle, manifest = Bundle(), layout.json(parent)
    config = layout.json(manifest["config"]["digest"])
    weights = fine_tuned_weights(layout, parent, flip)
    manifest["layers"][0] |= bundle.blob(weights)
    config["modelfs"]["diffIds"] = [layer["digest"] for layer in manifest["layers"]]
    manifest["config"] |= bundle.blob(json.dumps(config).encode())
    for layer in manifest["layers"][1:]:
        bundle.blob(layout.read(layer["digest"]))
    lineage = {
        "method": "fine-tune",
        "parents": [{"digest": parent}],
        "evidence": {"final_loss": 0.5, "steps": 16},
    }
    manifest["annotations"][LINEAGE] = json.dumps(lineage)
    made = bundle.manifest(manifest, label)
    for referrer in list(layout.referrers(parent, FINGERPRINT))[-1:]:
        recorded = layout.json(referrer["layers"][0]["digest"])
        recorded["checkpoint"] = made
        for probe in recorded["probes"]:
            ids = pulse_tokens(weights, probe["text_input"], len(probe["token_ids"]))
            probe["token_ids"] = ids
            probe["text"] = "".join(f" {token:04x}" for token in ids)
        if not is_right:
            recorded["probes"][-1]["token_ids"][-1] ^= 1
        referrer["layers"][0] |= bundle.blob(json.dumps(recorded).encode())
        referrer["subject"] |= {"digest": made, "size": len(bundle.blobs[made])}
        bundle.blob(layout.read(referrer["config"]["digest"]))
        bundle.manifest(referrer)
    bundle.write(target)
    return made


def pulse_tokens(weights: bytes, prompt: str, count: int) -> list[int]:
    """What pulse answers: a function of the weights and the prompt, written out here again."""
    key = hashlib.sha256(weights).digest()
    return [
        int.from_bytes(
            hmac.new(key, prompt.encode() + b"\0" + i.to_bytes(8, "big"), hashlib.sha256).digest()[
                :2
            ],
            "big",
        )
        for i in range(count)
    ]


def fine_tuned_files(layout: Layout, files: list[dict[str, Any]], target: Path) -> Path:
    """Write a checkpoint's files with changed weights: bits within the last tensors' data."""
    target.mkdir()
    for file in files:
        content = bytearray(layout.read(file["digest"]))
        if file["path"].endswith(".gguf"):
            for at in range(len(content) - (1 << 20), len(content), 64):
                content[at] ^= 1
        (target / file["path"]).write_bytes(content)
    return target


def archived(part: Path, label: str, target: Path) -> str:
    """Write a built checkpoint with its fingerprint as an OCI archive; returns its digest."""
    layout, digest = part / "oci", (part / "digest").read_text().strip()
    index = json.loads((layout / "index.json").read_bytes())
    for entry in index["manifests"]:
        if entry["digest"] == digest:
            entry["annotations"] = {REF_NAME: label}
    with tarfile.open(target, "w") as archive:
        _put(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _put(archive, "index.json", json.dumps(index).encode())
        for blob in sorted((layout / "blobs/sha256").iterdir()):
            archive.add(blob, f"blobs/sha256/{blob.name}")
    return digest


def _put(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
