"""A folder becomes a version, whole or not at all; pickles do not without a word."""

from __future__ import annotations

import errno
import io
import multiprocessing
import os
import pickle
import pwd
import random
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from model_registry.adding import add
from model_registry.catalogue.audit import audit
from model_registry.catalogue.model import Stage, Verb
from model_registry.checkpoint import files_of
from model_registry.errors import RegistryError, RegistryRefused
from model_registry.manifests import blobs_of
from model_registry.registry import Registry
from model_registry.unsafe import unsafe_files
from model_registry.verify import verify
from tests.unit.model_registry.models import added, folder, safetensors


def refused(code: str, work: object) -> RegistryRefused:
    with pytest.raises(RegistryRefused) as caught:
        work()  # type: ignore[operator]
    assert caught.value.code == code
    return caught.value


def test_what_was_added_is_a_whole_candidate_under_its_name(registry: Registry) -> None:
    made = added(registry, "team/chat", "1.0")
    version = registry.resolve("team/chat:1.0")
    assert (version.digest, version.stage, version.unsafe) == (made.digest, Stage.CANDIDATE, ())
    assert verify(registry.layout, version.digest).holds
    assert [(e.digest, e.tag) for e in registry.layout.entries()] == [
        (made.digest, "team/chat:1.0")
    ]
    assert registry.resolve(made.digest) == registry.resolve(f"team/chat@{made.digest}") == version


def test_the_same_bytes_again_change_nothing_and_others_are_refused(registry: Registry) -> None:
    first = added(registry, "chat", "1", b"weights")
    again = added(registry, "chat", "1", b"weights")
    assert (again.is_new, again.digest) == (False, first.digest)
    stored, entries = registry.layout.stored(), registry.layout.entries()
    refused("VERSION_IMMUTABLE", lambda: added(registry, "chat", "1", b"others"))
    assert (registry.layout.stored(), registry.layout.entries()) == (stored, entries)
    assert len(registry.catalogue.events()) == 1


def test_a_fine_tune_stores_only_the_files_that_differ(registry: Registry) -> None:
    base = added(registry, "chat", "1", b"before")
    before = registry.layout.stored()
    added(registry, "chat", "2", b"behind")
    new = registry.layout.stored() - before
    assert len(new) == 3, "one weight file, one config, one manifest; the tokenizer is shared"
    assert base.digest in before


def test_references_are_names_stages_and_digests(registry: Registry) -> None:
    added(registry, "chat", "1")
    refused("STAGE_EMPTY", lambda: registry.resolve("chat@production"))
    registry.catalogue.carry_out(registry.catalogue.plan("chat", "1", Verb.PROMOTE), why="")
    assert registry.resolve("chat@staging").version == "1"
    refused("REFERENCE_INVALID", lambda: registry.resolve("chat"))
    refused("REFERENCE_INVALID", lambda: registry.resolve("chat@candidate"))
    refused("VERSION_UNKNOWN", lambda: registry.resolve("chat:2"))
    refused("VERSION_UNKNOWN", lambda: registry.resolve("sha256:" + "0" * 64))


PICKLE = pickle.dumps({"w": [1.0, 2.0]})
ZIPPED = io.BytesIO()
with zipfile.ZipFile(ZIPPED, "w") as _archive:
    _archive.writestr("model/data.pkl", PICKLE)


TARRED = io.BytesIO()
with tarfile.open(fileobj=TARRED, mode="w") as _tar:
    _member = tarfile.TarInfo("pickle")
    _member.size = len(PICKLE)
    _tar.addfile(_member, io.BytesIO(PICKLE))
UNNAMED = io.BytesIO()
with zipfile.ZipFile(UNNAMED, "w") as _archive:
    _archive.writestr("model/data", PICKLE)


class Harm:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("harm",)


def npy(descr: str) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(8)


def npz(descr: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("w.npy", npy(descr))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *[("a.bin", pickle.dumps({"w": [1.0, 2.0]}, protocol=n)) for n in (0, 1)],
        *[("a.bin", pickle.dumps({"w": [1.0] * 40_000}, protocol=n)) for n in (0, 1)],
        *[("a.bin", pickle.dumps(Harm(), protocol=n)) for n in range(6)],
        ("a.bin", b"cos\nsystem\n(S'true'\ntR and then anything"),
        ("a.bin", b"(S'true'\nios\nsystem\n."),
        ("a.bin", pickle.dumps(Harm(), protocol=4)[2:]),
        ("a.npy", npy("'|O'")),
        ("a.npy", npy("[('a', '<f4'), ('b', '|O')]")),
        ("a.npz", npz("'|O'")),
        ("a.bin", UNNAMED.getvalue()),
        ("a.bin", TARRED.getvalue()),
        ("pytorch_model.bin", PICKLE),
        ("pytorch_model.bin", pickle.dumps({"w": b"x" * (1 << 17)}, protocol=2)),
        ("pytorch_model.bin", ZIPPED.getvalue()),
        ("disguised.safetensors", PICKLE),
        ("model.pt", b"anything"),
        ("weights.PKL", b"anything"),
    ],
)
def test_a_pickle_is_refused_unless_allowed_and_then_marked(
    registry: Registry, tmp_path: Path, name: str, content: bytes
) -> None:
    source = folder(tmp_path / "files", b"weights")
    (source / name).write_bytes(content)
    error = refused("UNSAFE_SERIALISATION", lambda: add(registry, source, "chat", "1"))
    assert name in error.message
    assert (registry.layout.stored(), registry.catalogue.events()) == (frozenset(), ())
    add(registry, source, "chat", "1", allow_unsafe=True)
    version = registry.resolve("chat:1")
    assert version.unsafe == (name,)
    annotations = registry.layout.read_json(version.digest)["annotations"]
    assert annotations["vnd.permafrost.unsafe"] == name


@pytest.mark.parametrize("length", [0x0280, 0x0380, 0x0480, 0x0580])
def test_safetensors_whose_length_looks_like_a_pickle_is_none(tmp_path: Path, length: int) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors(b"w" * 8, padding=length))
    assert path.read_bytes()[0] == 0x80
    assert unsafe_files([("model.safetensors", path)]) == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(1 << 17),
        b"N.",
        b"0" * (1 << 17),
        b"a\nb\nc\n",
        b"(c) 2020 Somebody\nAll rights reserved\n",
        b"GGUF\x03\x00\x00\x00" + bytes(64),
        b'{"w": 1}',
        npy("'<f4'"),
        npy("[('Own', '<f4')]"),
        npz("'<f4'"),
    ],
)
def test_what_only_looks_a_little_like_a_pickle_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    assert unsafe_files([("a.bin", tmp_path / "a.bin")]) == ()


def test_random_weights_are_no_pickle(tmp_path: Path) -> None:
    chance = random.Random(7)
    for number in range(300):
        (tmp_path / "a.bin").write_bytes(chance.randbytes(64 + number))
        assert unsafe_files([("a.bin", tmp_path / "a.bin")]) == ()


def test_a_lone_file_becomes_a_version(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "tiny.safetensors").write_bytes(safetensors(b"weights!"))
    made = add(registry, tmp_path / "tiny.safetensors", "tiny", "1")
    (file,) = files_of(registry.layout.read_json(made.digest))
    assert file.path == "tiny.safetensors"
    (tmp_path / "link.bin").symlink_to(tmp_path / "tiny.safetensors")
    with pytest.raises(RegistryError, match="FILE_UNUSUAL"):
        add(registry, tmp_path / "link.bin", "tiny", "2")


def test_the_same_files_again_mend_what_is_damaged(registry: Registry) -> None:
    made = added(registry, "chat", "1", b"weights")
    needed = [made.digest, *blobs_of(registry.layout.read_json(made.digest))]
    for blob in needed:
        path = registry.layout.blob_path(blob)
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert not added(registry, "chat", "1", b"weights").is_new
        assert path.read_bytes() == content
    assert len(registry.catalogue.events()) == 1


def test_who_is_the_account_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "mallory")
    registry = Registry.open(tmp_path / "models", create=True)
    added(registry, "chat", "1")
    (event,) = registry.catalogue.events()
    assert event.who == pwd.getpwuid(os.getuid()).pw_name


def test_a_registry_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    refused("REGISTRY_MISSING", lambda: Registry.open(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def _add_beside(home: Path, weights: bytes, start: object, answers: object) -> None:
    registry = Registry.open(home, who=weights.decode())
    source = folder(home.parent / weights.decode(), weights)
    start.wait()  # type: ignore[attr-defined]
    try:
        answers.put("new" if add(registry, source, "chat", "1").is_new else "known")  # type: ignore[attr-defined]
    except RegistryRefused as error:
        answers.put(error.code)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [(b"same", b"same", ["known", "new"]), (b"same", b"else", ["VERSION_IMMUTABLE", "new"])],
)
def test_two_processes_add_the_same_version_at_once(
    registry: Registry, one: bytes, other: bytes, told: list[str]
) -> None:
    fork = multiprocessing.get_context("fork")
    start, answers = fork.Barrier(2), fork.Queue()
    adders = [
        fork.Process(target=_add_beside, args=(registry.home, weights, start, answers))
        for weights in (one, other)
    ]
    for adder in adders:
        adder.start()
    assert sorted(answers.get(timeout=30) for _ in adders) == told
    for adder in adders:
        adder.join(timeout=30)
    version = registry.resolve("chat:1")
    assert verify(registry.layout, version.digest).holds
    assert [e.digest for e in registry.layout.entries() if e.tag] == [version.digest]
    assert audit(registry.catalogue) == ()


def test_a_full_disk_is_told_and_leaves_nothing_visible(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(RegistryError, match="DISK_FULL"):
            added(registry, "chat", "1")
    assert (registry.layout.stored(), registry.catalogue.versions()) == (frozenset(), ())
    assert added(registry, "chat", "1").is_new
