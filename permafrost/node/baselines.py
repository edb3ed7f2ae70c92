"""Which recorded behaviour counts on this node, and how it is kept there.

Where the site demands it, a fingerprint counts only with a signature by one of the site's signers.
The signature is kept beside it and checked at both ends: when it is fetched, and each time it is
about to admit the replica. Who can write the file, or the registry, admits nothing by that.

Invariant: whatever file is read has its own signature beside it, also after a cut: a signature
lies under the digest of what it signs, and comes before it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from . import fingerprint, signatures
from .errors import NodeError
from .referring import FINGERPRINT, SIGNATURE, Attached
from .store import alone

Signers = Mapping[str, str] | None
"""Name → PEM of those who may sign a baseline; None where the site demands no signature."""


class Registry(Protocol):
    """What is needed of the registry."""

    def attached(self, subject: str, kind: str) -> list[Attached]:
        """Return what of a kind refers to a manifest, the newest first."""


def follow(
    checkpoint: str,
    registry: Registry,
    file: Path,
    serving_class: Callable[[], dict[str, Any]],
    signers: Signers = None,
) -> bool:
    """Keep the fingerprint that this node's class has to meet; returns whether it is another.

    Raises NodeError (FINGERPRINT_MISSING, FINGERPRINT_UNSIGNED, FINGERPRINT_OF_ANOTHER); what was
    kept before stays then.
    """
    known = registry.attached(checkpoint, FINGERPRINT)
    if not known:
        raise NodeError(
            "FINGERPRINT_MISSING",
            f"{checkpoint} has none in the registry",
            "`permafrost model fingerprint record` on a drained replica makes one",
        )
    bundles = {} if signers is None else _signed(checkpoint, registry, known, signers)
    counting = [one.content for one in known if signers is None or one.content in bundles]
    chosen = fingerprint.choose(counting, checkpoint, serving_class())
    return _keep(chosen, bundles.get(chosen), file)


def load(file: Path, checkpoint: str, signers: Signers = None) -> tuple[fingerprint.Probe, ...]:
    """Return the probes of the fingerprint that is kept, its signature checked again."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise NodeError(
            "FINGERPRINT_MISSING", f"{file}: {error.strerror}", "permafrost-node follow fetches it"
        ) from error
    if signers is not None and not _is_signed(file, content, signers):
        raise _unsigned(f"{file} is not signed", signers)
    return fingerprint.parse(content, checkpoint, str(file))


def _is_signed(file: Path, content: bytes, signers: Mapping[str, str]) -> bool:
    try:
        bundle = _beside(file, content).read_bytes()
    except OSError:
        return False
    return bool(signatures.signer_of(content, [bundle], signers))


def _signed(
    checkpoint: str, registry: Registry, known: Sequence[Attached], signers: Mapping[str, str]
) -> dict[bytes, bytes]:
    """Return the fingerprints that somebody trusted signed, with a signature that holds."""
    held = {}
    for one in known:
        for bundle in registry.attached(one.artifact, SIGNATURE):
            if signatures.signer_of(one.content, [bundle.content], signers):
                held[one.content] = bundle.content
                break
    if not held:
        raise _unsigned(f"of {len(known)} fingerprints of {checkpoint} none is signed", signers)
    return held


def _unsigned(what: str, signers: Signers) -> NodeError:
    names = ", ".join(sorted(signers or ())) or "anybody: the site names no signer"
    return NodeError(
        "FINGERPRINT_UNSIGNED",
        f"{what} by {names}",
        "`permafrost model fingerprint sign`, then permafrost-node follow",
    )


def _keep(content: bytes, bundle: bytes | None, file: Path) -> bool:
    """Write what is not there yet: the signature first. Older signatures go at the end."""
    changed = bundle is not None and _write(bundle, _beside(file, content))
    changed |= _write(content, file)
    for old in file.parent.glob(f"{file.stem}.*.sig"):
        if old != _beside(file, content):
            old.unlink(missing_ok=True)
    return changed


def _beside(file: Path, content: bytes) -> Path:
    return file.with_name(f"{file.stem}.{hashlib.sha256(content).hexdigest()[:16]}.sig")


def _write(content: bytes, target: Path) -> bool:
    if target.is_file() and target.read_bytes() == content:
        return False
    with alone(target.with_name(f".{target.name}.part")) as part:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(target)
    return True
