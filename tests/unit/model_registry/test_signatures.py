"""Signatures hold for one checkpoint and by one key, and for nothing else."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from model_signing import verifying

from model_registry.adding import add
from model_registry.catalogue.audit import (
    audit,
    read_head,
    require_signed_head,
    signature_path,
    write_head,
)
from model_registry.catalogue.model import Stage, Verb
from model_registry.checkpoint import files_of
from model_registry.errors import RegistryError, RegistryRefused
from model_registry.lineage import Lineage, Method, Parent
from model_registry.media_types import SIGNATURE
from model_registry.promotion import carry_out
from model_registry.referring import attach, attached_in_layout
from model_registry.registry import Registry
from model_registry.signatures import Policy, check_signatures, sign, signatures_of
from model_registry.signing import SigningKey, Trusted
from tests.unit.model_registry.keys import certified, keys
from tests.unit.model_registry.models import added, folder

Make = Callable[[Path, str], tuple[SigningKey, Trusted]]


@pytest.fixture(params=[keys, certified])
def release(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[SigningKey, Trusted]:
    make: Make = request.param
    return make(tmp_path, "release")


def state(registry: Registry) -> tuple[object, ...]:
    return registry.catalogue.tables(), registry.layout.entries(), registry.layout.stored()


def test_a_signature_holds_for_its_signer_alone(
    registry: Registry, release: tuple[SigningKey, Trusted], tmp_path: Path
) -> None:
    version = registry.resolve(added(registry, "chat", "1").digest)
    key, trusted = release
    assert sign(registry, version, key, why="tested").is_new
    _, stranger = keys(tmp_path, "stranger")
    _, authority = certified(tmp_path, "other-authority")
    checked = signatures_of(registry, version, [stranger, trusted, authority])
    assert (checked.count, checked.signed_by) == (1, ("release",))
    assert len(checked.reasons) == 2
    event = registry.catalogue.events()[-1]
    assert (event.kind, event.why, event.body["digest"]) == ("sign", "tested", version.digest)
    assert audit(registry.catalogue) == ()


def test_signing_again_with_the_same_key_changes_nothing(
    registry: Registry, tmp_path: Path
) -> None:
    version = registry.resolve(added(registry, "chat", "1").digest)
    key, _ = keys(tmp_path, "release")
    first = sign(registry, version, key)
    before = state(registry)
    again = sign(registry, version, key)
    assert (again.is_new, again.signature) == (False, first.signature)
    assert state(registry) == before


def test_a_planted_signature_does_not_keep_the_signer_from_signing(
    registry: Registry, tmp_path: Path
) -> None:
    version = registry.resolve(added(registry, "chat", "1").digest)
    key, trusted = keys(tmp_path, "release")
    sign(registry, version, key)
    (true,) = attached_in_layout(registry.layout, version.digest, SIGNATURE).values()
    other = registry.resolve(added(registry, "chat", "2").digest)
    attach(registry.layout, other.digest, SIGNATURE, true, "model.sig")
    assert signatures_of(registry, other, [trusted]).signed_by == ()
    assert sign(registry, other, key).is_new
    assert signatures_of(registry, other, [trusted]).signed_by == ("release",)


def test_the_same_files_with_another_lineage_are_another_checkpoint(
    registry: Registry, tmp_path: Path
) -> None:
    files = folder(tmp_path / "files", b"weights")
    outside = Lineage(Method.FINE_TUNE, (Parent("sha256:" + "1" * 64, is_outside=True),))
    one = registry.resolve(add(registry, files, "chat", "1").digest)
    other = registry.resolve(add(registry, files, "chat", "2", lineage=outside).digest)
    key, trusted = keys(tmp_path, "release")
    sign(registry, one, key)
    moved = attached_in_layout(registry.layout, one.digest, SIGNATURE)
    known = files_of(registry.layout.read_json(other.digest))
    checked = check_signatures(moved, other.digest, known, [trusted])
    assert checked.signed_by == ()
    assert one.digest in checked.reasons[0]


def test_the_public_tool_checks_it_with_the_files_alone(
    registry: Registry, tmp_path: Path
) -> None:
    files = folder(tmp_path / "files", b"weights", LICENSE=b"Apache-2.0")
    version = registry.resolve(add(registry, files, "chat", "1").digest)
    key, trusted = keys(tmp_path, "release")
    sign(registry, version, key)
    (content,) = attached_in_layout(registry.layout, version.digest, SIGNATURE).values()
    (tmp_path / "model.sig").write_bytes(content)
    tool = verifying.Config().use_elliptic_key_verifier(public_key=trusted.anchor)
    tool.verify(files, tmp_path / "model.sig")
    (files / "tokenizer.json").write_bytes(b"{}")
    with pytest.raises(ValueError, match="mismatch"):
        verifying.Config().use_elliptic_key_verifier(public_key=trusted.anchor).verify(
            files, tmp_path / "model.sig"
        )


@pytest.mark.parametrize("part", ["sig", "payload"])
def test_an_edited_signature_does_not_hold(registry: Registry, tmp_path: Path, part: str) -> None:
    version = registry.resolve(added(registry, "chat", "1").digest)
    key, trusted = keys(tmp_path, "release")
    sign(registry, version, key)
    (content,) = attached_in_layout(registry.layout, version.digest, SIGNATURE).values()
    document = json.loads(content)
    envelope = document["dsseEnvelope"]
    holder = envelope if part == "payload" else envelope["signatures"][0]
    at = len(holder[part]) // 2
    holder[part] = (
        holder[part][:at] + ("A" if holder[part][at] != "A" else "B") + holder[part][at + 1 :]
    )
    edited = {"sha256:" + "0" * 64: json.dumps(document).encode()}
    known = files_of(registry.layout.read_json(version.digest))
    assert check_signatures(edited, version.digest, known, [trusted]).signed_by == ()
    assert check_signatures({"x": b"{}"}, version.digest, known, [trusted]).signed_by == ()


def test_a_damaged_checkpoint_is_not_signed(registry: Registry, tmp_path: Path) -> None:
    version = registry.resolve(added(registry, "chat", "1").digest)
    weights = files_of(registry.layout.read_json(version.digest))[0]
    path = registry.layout.blob_path(weights.digest)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    before = state(registry)
    with pytest.raises(RegistryRefused, match="CHECKPOINT_DAMAGED"):
        sign(registry, version, keys(tmp_path, "release")[0])
    assert state(registry) == before


def test_a_promotion_that_needs_a_signature_is_refused_without(
    registry: Registry, release: tuple[SigningKey, Trusted], tmp_path: Path
) -> None:
    version = registry.resolve(added(registry, "chat", "1").digest)
    key, trusted = release
    policy = Policy((trusted,), frozenset({"promote"}))
    plan = registry.catalogue.plan("chat", "1", Verb.PROMOTE)
    before = state(registry)
    with pytest.raises(RegistryRefused, match="SIGNATURE_MISSING"):
        carry_out(registry, plan, why="", policy=policy)
    assert state(registry) == before
    sign(registry, version, keys(tmp_path, "stranger")[0])
    before = state(registry)
    with pytest.raises(RegistryRefused, match="SIGNATURE_UNTRUSTED"):
        carry_out(registry, plan, why="", policy=policy)
    assert state(registry) == before
    sign(registry, version, key)
    carry_out(registry, plan, why="", policy=policy)
    assert registry.catalogue.holder("chat", Stage.STAGING) is not None


def test_two_that_sign_at_once_are_both_kept(registry: Registry, tmp_path: Path) -> None:
    version = registry.resolve(added(registry, "chat", "1").digest)
    pairs = [keys(tmp_path, f"signer-{n}") for n in range(4)]
    threads = [threading.Thread(target=sign, args=(registry, version, key)) for key, _ in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    checked = signatures_of(registry, version, [trusted for _, trusted in pairs])
    assert checked.signed_by == tuple(f"signer-{n}" for n in range(4))


@pytest.mark.parametrize("content", [b"", b"-----BEGIN NONSENSE-----\n"])
def test_a_file_that_is_no_key_is_told(registry: Registry, tmp_path: Path, content: bytes) -> None:
    version = registry.resolve(added(registry, "chat", "1").digest)
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(RegistryRefused, match="SIGNING_KEY_INVALID"):
        sign(registry, version, SigningKey(tmp_path / "key"))
    sign(registry, version, keys(tmp_path, "release")[0])
    with pytest.raises(RegistryRefused, match="SIGNER_INVALID"):
        signatures_of(registry, version, [Trusted("x", tmp_path / "key")])


def test_a_signed_head_is_checked_before_it_is_believed(
    registry: Registry, release: tuple[SigningKey, Trusted], tmp_path: Path
) -> None:
    added(registry, "chat", "1")
    key, trusted = release
    head = registry.catalogue.head()
    assert head is not None
    path = tmp_path / "head.json"
    write_head(head, path, key)
    require_signed_head(path, trusted)
    assert audit(registry.catalogue, read_head(path)) == ()

    with pytest.raises(RegistryRefused, match="HEAD_SIGNATURE_INVALID"):
        require_signed_head(path, keys(tmp_path, "stranger")[1])
    path.write_text(path.read_text().replace('"seq":1', '"seq":2'))
    with pytest.raises(RegistryRefused, match="HEAD_SIGNATURE_INVALID"):
        require_signed_head(path, trusted)
    signature_path(path).unlink()
    with pytest.raises(RegistryRefused, match="HEAD_UNSIGNED"):
        require_signed_head(path, trusted)


def test_an_unknown_form_of_signature_is_an_error_of_ours(
    registry: Registry, tmp_path: Path
) -> None:
    version = registry.resolve(added(registry, "chat", "1").digest)
    attach(registry.layout, version.digest, SIGNATURE, b"\x00 not json", "model.sig")
    checked = signatures_of(registry, version, [keys(tmp_path, "release")[1]])
    assert (checked.count, checked.signed_by) == (1, ())
    assert issubclass(RegistryRefused, RegistryError)


@pytest.mark.parametrize("layers", [[], None, [{}], ["x"]])
def test_an_artifact_without_content_is_noted_and_hinders_nobody(
    registry: Registry, tmp_path: Path, layers: object
) -> None:
    version = registry.resolve(added(registry, "chat", "1").digest)
    attach(registry.layout, version.digest, SIGNATURE, b"{}", "model.sig")
    (entry,) = [e for e in registry.layout.entries() if e.digest != version.digest]
    hollow = {**registry.layout.read_json(entry.digest), "layers": layers}
    digest = registry.layout.add_manifest(hollow)
    key, trusted = keys(tmp_path, "release")
    checked = signatures_of(registry, version, [trusted])
    assert (checked.count, checked.signed_by) == (2, ())
    assert f"{digest} is unreadable: it holds no signature" in checked.reasons
    sign(registry, version, key)
    assert signatures_of(registry, version, [trusted]).signed_by == ("release",)
