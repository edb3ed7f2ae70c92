"""Who signed a checkpoint, and whether that is enough for what is to be done with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_registry.catalogue.model import Version
from model_registry.checkpoint import CheckpointFile, files_of
from model_registry.errors import RegistryError, RegistryRefused
from model_registry.media_types import SIGNATURE
from model_registry.meter import Meter
from model_registry.referring import attach, attached_in_layout
from model_registry.signing import (
    SigningKey,
    Trusted,
    check_checkpoint,
    is_signed_with,
    sign_checkpoint,
)
from model_registry.verify import verify

if TYPE_CHECKING:
    from model_registry.registry import Registry


@dataclass(frozen=True, slots=True)
class Policy:
    """A signature by one of the signers must be there before what ``required_for`` names."""

    signers: tuple[Trusted, ...] = ()
    required_for: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature of a version; ``is_new`` is false where this key had signed it already."""

    version: Version
    signature: str
    is_new: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "version": self.version.label,
            "digest": self.version.digest,
            "signature": self.signature,
            "changed": self.is_new,
        }


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one checkpoint's signatures: by whom they hold, and why others do not."""

    count: int
    signed_by: tuple[str, ...]
    reasons: tuple[str, ...]


def sign(
    registry: Registry,
    version: Version,
    key: SigningKey,
    *,
    why: str = "",
    meter: Meter | None = None,
) -> Signed:
    """Sign a version, every byte of which is read first, and attach the signature to it."""
    with registry.adding():
        verdict = verify(registry.layout, version.digest, meter)
        if not verdict.holds:
            raise RegistryRefused(
                "CHECKPOINT_DAMAGED",
                f"{version.label} is not whole: {verdict.says()}",
                "add or import the same files again",
            )
        signature = sign_checkpoint(version.digest, verdict.files, key)
        known = attached_in_layout(registry.layout, version.digest, SIGNATURE)
        for digest, content in known.items():
            if is_signed_with(content, version.digest, verdict.files, key):
                return Signed(version, digest, is_new=False)
        made = attach(registry.layout, version.digest, SIGNATURE, signature, "model.sig")
        registry.catalogue.note_signature(version, made, why=why)
    return Signed(version, made, is_new=True)


def signatures_of(registry: Registry, version: Version, signers: Iterable[Trusted]) -> Checked:
    """Return by whom the signatures of a version hold."""
    found = attached_in_layout(registry.layout, version.digest, SIGNATURE)
    return check_signatures(
        found, version.digest, files_of(registry.layout.read_json(version.digest)), signers
    )


def check_signatures(
    signatures: Mapping[str, bytes],
    checkpoint: str,
    files: Iterable[CheckpointFile],
    signers: Iterable[Trusted],
) -> Checked:
    """Return by whom signatures of a checkpoint hold."""
    names, reasons, known = [], [], tuple(files)
    for trusted in signers:
        for artifact, signature in signatures.items():
            if not signature:
                reasons.append(f"{artifact} is unreadable: it holds no signature")
                continue
            try:
                check_checkpoint(signature, checkpoint, known, trusted)
            except RegistryRefused:
                raise
            except RegistryError as error:
                reasons.append(error.message)
            else:
                names.append(trusted.name)
                break
    return Checked(len(signatures), tuple(names), tuple(reasons))


def require_signature(policy: Policy, action: str, what: str, checked: Checked) -> None:
    """Refuse an action that needs a signature by a named key where there is none that holds."""
    if action not in policy.required_for or checked.signed_by:
        return
    names = ", ".join(trusted.name for trusted in policy.signers)
    if not checked.count:
        raise RegistryRefused(
            "SIGNATURE_MISSING",
            f"{what} is not signed; to {action} it, {names} must have signed it",
            "sign it with that key",
        )
    raise RegistryRefused(
        "SIGNATURE_UNTRUSTED",
        f"no signature of {what} holds for {names}: {'; '.join(checked.reasons)}",
        "sign it with that key, and find out who signed it otherwise",
    )
