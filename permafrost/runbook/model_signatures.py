"""Whether bytes, signatures and the catalogue of models are what they should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_registry.catalogue.audit import (
    Finding,
    audit,
    read_head,
    require_signed_head,
    write_head,
)
from model_registry.catalogue.model import Version
from model_registry.errors import RegistryError
from model_registry.meter import Meter
from model_registry.registry import Registry
from model_registry.signatures import Checked as Signatures
from model_registry.signatures import Policy, Signed, sign, signatures_of
from model_registry.signing import SigningKey, Trusted
from model_registry.verify import Damage, verify
from permafrost.adapters.models import policy_of, translated
from permafrost.errors import Problem, Refused
from permafrost.site.load import LoadedSite


@dataclass(frozen=True, slots=True)
class Checked:
    """One version: which files are not as promised; and who signed it, where that was asked."""

    version: Version
    damages: tuple[Damage, ...]
    signatures: Signatures | None = None

    @property
    def holds(self) -> bool:
        """Whether all that was asked for is as it should be."""
        return not self.damages and (self.signatures is None or bool(self.signatures.signed_by))

    @property
    def says(self) -> str:
        """The verdict in words."""
        said = f"DAMAGED: {', '.join(map(str, self.damages))}" if self.damages else "whole"
        if self.signatures is None:
            return said
        if self.signatures.signed_by:
            return f"{said}, signed by {', '.join(self.signatures.signed_by)}"
        reasons = "; ".join(self.signatures.reasons) or "there is no signature"
        return f"{said}, NOT SIGNED as it should be: {reasons}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        found: dict[str, Any] = {
            "version": self.version.label,
            "digest": self.version.digest,
            "holds": self.holds,
            "wrong": [damage.path for damage in self.damages],
            "damages": [damage.as_dict() for damage in self.damages],
        }
        if self.signatures is not None:
            found["signatures"] = self.signatures.count
            found["signed_by"] = list(self.signatures.signed_by)
            found["reasons"] = list(self.signatures.reasons)
        return found


def no_policy() -> Policy:
    """Return the policy of nobody: nothing is demanded."""
    return Policy()


def site_policy(loaded: LoadedSite) -> Policy:
    """Return what a site demands of signatures."""
    return policy_of(loaded)


def signing_key(
    key: Path, password_file: Path | None, certificate: Path | None, chain: tuple[Path, ...]
) -> SigningKey:
    """Return a private key as it was named; its password comes from a file."""
    password = None
    if password_file is not None:
        try:
            password = password_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(
                Problem(
                    "KEY_PASSWORD_UNREADABLE",
                    f"cannot read {password_file}: {error}",
                    hint="it holds the key's password as text, and this user must read it",
                )
            ) from None
    return SigningKey(key, password, certificate, chain)


def signers_of(policy: Policy, files: Sequence[Path]) -> tuple[Trusted, ...]:
    """Return whose signatures count: those that were named, else the site's."""
    found = tuple(Trusted(str(file), file) for file in files) or policy.signers
    if not found:
        raise Refused(
            Problem(
                "SIGNER_NOT_NAMED",
                "nobody says whose signature counts",
                hint="name a public key with --signer, or registry.signatures in the site file",
            )
        )
    return found


@translated()
def sign_model(
    registry: Registry,
    reference: str,
    key: SigningKey,
    why: str,
    meter: Meter | None = None,
) -> Signed:
    """Sign a version."""
    return sign(registry, registry.resolve(reference), key, why=why, meter=meter)


@translated()
def verify_models(
    registry: Registry,
    reference: str | None = None,
    signers: Sequence[Trusted] | None = None,
    meter: Meter | None = None,
) -> tuple[Checked, ...]:
    """Read every byte of one version, or of all whose content is here."""
    wanted = [registry.resolve(reference)] if reference else registry.catalogue.versions()
    return tuple(
        _checked(registry, version, signers, meter, is_named=bool(reference))
        for version in wanted
        if version.is_present or reference
    )


def _checked(
    registry: Registry,
    version: Version,
    signers: Sequence[Trusted] | None,
    meter: Meter | None,
    *,
    is_named: bool,
) -> Checked:
    try:
        damages = verify(registry.layout, version.digest, meter).damages
    except RegistryError as error:  # told beside the others, which are looked at, too
        if is_named:
            raise
        return Checked(version, (Damage("manifest", error.code),))
    signatures = None if signers is None else signatures_of(registry, version, signers)
    return Checked(version, damages, signatures)


@translated()
def audit_models(
    registry: Registry, against: Path | None = None, signers: Sequence[Path] = ()
) -> tuple[Finding, ...]:
    """Return what is wrong with the catalogue, also against a head that was exported earlier.

    Where signers are named, one of them must have signed that head.
    """
    if signers and against is None:
        raise Refused(
            Problem(
                "HEAD_NOT_NAMED",
                "a signer vouches for a head, and none is named",
                hint="name the exported head with --against",
            )
        )
    if against is not None and signers:
        _require_signed(against, signers)
    return audit(registry.catalogue, read_head(against) if against else None)


def _require_signed(head: Path, signers: Sequence[Path]) -> None:
    failed: list[RegistryError] = []
    for file in signers:
        try:
            return require_signed_head(head, Trusted(str(file), file))
        except RegistryError as error:
            failed.append(error)
    raise failed[-1]


@translated()
def export_head(registry: Registry, target: Path, key: SigningKey | None = None) -> None:
    """Write the chain's head to a file to be kept elsewhere, signed where a key is named."""
    head = registry.catalogue.head()
    if head is None:
        hint = "`permafrost model add` is the first thing that the chain records"
        raise Refused(Problem("CHAIN_EMPTY", "nothing has happened yet", hint=hint))
    write_head(head, target, key)
