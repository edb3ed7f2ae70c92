"""One file across an air gap: the same bytes there, or nothing."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import pytest

from model_registry.adding import add
from model_registry.bundle import export, import_bundle
from model_registry.catalogue.model import Stage, Verb
from model_registry.differing import differ
from model_registry.errors import RegistryError
from model_registry.fingerprint.referrers import attach, find_in_layout
from model_registry.lineage import Lineage, Method, Parent
from model_registry.registry import Registry
from model_registry.verify import verify
from tests.unit.model_registry.models import added, folder


@pytest.fixture
def there(tmp_path: Path) -> Registry:
    return Registry.open(tmp_path / "there", who="eve", create=True)


@pytest.fixture
def bundle(registry: Registry, tmp_path: Path) -> Path:
    """A foundation and a fine-tune of it, with a fingerprint, in one file."""
    base = added(registry, "chat", "1", lineage=Lineage(Method.PRETRAIN))
    tuned = added(registry, "chat", "2", lineage=Lineage(Method.FINE_TUNE, (Parent(base.digest),)))
    registry.catalogue.carry_out(registry.catalogue.plan("chat", "2", Verb.PROMOTE), why="")
    attach(registry.layout, tuned.digest, {"checkpoint": tuned.digest, "probes": [1]})
    path = tmp_path / "models.tar"
    export(registry, registry.catalogue.versions(), path)
    return path


def members(bundle: Path) -> dict[str, bytes]:
    with tarfile.open(bundle) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]


def rewritten(bundle: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(bundle, "w") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return bundle


def refuses(registry: Registry, bundle: Path, code: str) -> None:
    with pytest.raises(RegistryError) as caught:
        import_bundle(registry, bundle)
    assert caught.value.code == code
    assert registry.catalogue.events() == ()
    assert registry.catalogue.versions() == ()


def test_what_arrives_is_what_left_as_candidates(
    registry: Registry, there: Registry, bundle: Path
) -> None:
    assert len(import_bundle(there, bundle)) == 2
    for version in registry.catalogue.versions():
        arrived = there.resolve(version.label)
        assert (arrived.digest, arrived.stage) == (version.digest, Stage.CANDIDATE)
        assert verify(there.layout, arrived.digest).holds
    assert there.catalogue.lineages() == registry.catalogue.lineages()
    assert find_in_layout(there.layout, there.resolve("chat:2").digest)["probes"] == [1]
    assert there.layout.stored() == registry.layout.stored()
    assert [a.is_new for a in import_bundle(there, bundle)] == [False, False]


def test_the_same_versions_give_the_same_file(
    registry: Registry, bundle: Path, tmp_path: Path
) -> None:
    versions = registry.catalogue.versions()
    export(registry, tuple(reversed(versions)), tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == bundle.read_bytes()


@pytest.mark.parametrize("at", [0.1, 0.5, 0.8])
def test_a_truncated_file_brings_nothing(there: Registry, bundle: Path, at: float) -> None:
    content = bundle.read_bytes()
    whole = content.rstrip(b"\0")
    bundle.write_bytes(content[: int(len(whole) * at)])
    with pytest.raises(RegistryError) as caught:
        import_bundle(there, bundle)
    assert caught.value.code in {"BUNDLE_BROKEN", "BUNDLE_INCOMPLETE", "BLOB_MISSING"}
    assert there.catalogue.events() == ()


def test_one_flipped_byte_in_any_blob_brings_nothing(there: Registry, bundle: Path) -> None:
    original = bundle.read_bytes()
    contents = members(bundle)
    for name in [n for n in contents if n.startswith("blobs/")]:
        flipped = bytearray(contents[name])
        flipped[len(flipped) // 2] ^= 1
        refuses(there, rewritten(bundle, {**contents, name: bytes(flipped)}), "DIGEST_MISMATCH")
    bundle.write_bytes(original)
    assert len(import_bundle(there, bundle)) == 2


def test_each_missing_blob_is_told(there: Registry, bundle: Path, tmp_path: Path) -> None:
    contents = members(bundle)
    for number, name in enumerate(n for n in contents if n.startswith("blobs/")):
        fresh = Registry.open(tmp_path / f"fresh-{number}", who="eve", create=True)
        kept = {n: c for n, c in contents.items() if n != name}
        with pytest.raises(RegistryError) as caught:
            import_bundle(fresh, rewritten(bundle, kept))
        assert caught.value.code in {"BUNDLE_INCOMPLETE", "BLOB_MISSING"}
        assert fresh.catalogue.events() == ()


def test_what_is_no_bundle_is_told(there: Registry, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no tar at all")
    refuses(there, tmp_path / "x", "BUNDLE_BROKEN")
    refuses(there, tmp_path / "nothing", "BUNDLE_BROKEN")
    refuses(there, rewritten(tmp_path / "y", {"index.json": b'{"manifests":[]}'}), "BUNDLE_EMPTY")
    refuses(there, rewritten(tmp_path / "z", {"../../etc/x": b"out"}), "BUNDLE_BROKEN")
    assert not (tmp_path.parent / "etc").exists()


def test_a_parent_that_stayed_behind_is_refused_unless_said(
    registry: Registry, there: Registry, bundle: Path
) -> None:
    export(registry, [registry.resolve("chat:2")], bundle)
    refuses(there, bundle, "PARENT_UNKNOWN")
    assert len(import_bundle(there, bundle, parents_outside=True)) == 1


def test_a_pickle_does_not_cross_unseen(
    registry: Registry, there: Registry, tmp_path: Path
) -> None:
    source = folder(tmp_path / "files", b"w")
    (source / "pytorch_model.bin").write_bytes(pickle.dumps({"w": [1.0]}))
    add(registry, source, "chat", "1", allow_unsafe=True)
    export(registry, registry.catalogue.versions(), tmp_path / "b.tar")
    refuses(there, tmp_path / "b.tar", "UNSAFE_SERIALISATION")
    import_bundle(there, tmp_path / "b.tar", allow_unsafe=True)
    assert there.resolve("chat:1").unsafe == ("pytorch_model.bin",)


def test_other_bytes_under_a_known_version_are_refused(there: Registry, bundle: Path) -> None:
    mine = added(there, "chat", "2", b"mine")
    events = there.catalogue.events()
    with pytest.raises(RegistryError, match="VERSION_IMMUTABLE"):
        import_bundle(there, bundle)
    assert (there.catalogue.events(), there.resolve("chat:2").digest) == (events, mine.digest)


def test_damaged_content_is_not_exported(registry: Registry, bundle: Path, tmp_path: Path) -> None:
    version = registry.resolve("chat:1")
    weights = registry.layout.read_json(version.digest)["layers"][0]["digest"]
    path = registry.layout.blob_path(weights)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(RegistryError, match="BLOB_CHANGED"):
        export(registry, [version], tmp_path / "damaged.tar")
    assert not list(tmp_path.glob("*damaged*"))


def test_a_difference_says_what_a_move_costs(registry: Registry, bundle: Path) -> None:
    found = differ(
        registry.layout, registry.resolve("chat:1").digest, registry.resolve("chat:2").digest
    )
    assert (found.same, found.changed) == (("tokenizer.json",), ("model.safetensors",))
    assert found.moved == registry.layout.size(
        registry.layout.read_json(registry.resolve("chat:2").digest)["layers"][0]["digest"]
    )
    assert "vnd.permafrost.lineage" in found.facts
