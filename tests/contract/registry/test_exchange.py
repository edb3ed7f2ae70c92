"""Versions through a real registry: cut and gone on with, lent, shared with public tools."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_registry import blobs, digests
from model_registry.adding import add
from model_registry.catalogue.model import Version
from model_registry.client import RegistryClient
from model_registry.errors import RegistryError, RegistryRefused
from model_registry.exchange import pull_version, push_version
from model_registry.layout import OciLayout
from model_registry.media_types import EMPTY_CONFIG, IMAGE_MANIFEST, TITLE
from model_registry.meter import Meter
from model_registry.registry import Registry
from model_registry.signatures import sign, signatures_of
from model_registry.verify import verify
from tests.contract.registry.fake import PASSWORD, USER
from tests.contract.registry.proxy import Wire, wire
from tests.contract.registry.server import Server
from tests.unit.model_registry.keys import keys

MIB = 1 << 20
_number = itertools.count()


def client_of(server: Server, address: str | None = None) -> RegistryClient:
    return RegistryClient(
        f"oci://{address or server.address}",
        username=USER,
        password=PASSWORD,
        ca_file=server.ca_file,
        pause=lambda _: None,
    )


@pytest.fixture
def client(server: Server) -> Iterator[RegistryClient]:
    with client_of(server) as made:
        yield made


@pytest.fixture
def cut(server: Server) -> Iterator[tuple[Wire, RegistryClient]]:
    with wire(server.address) as made, client_of(server, made.address) as through:
        yield made, through


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.open(tmp_path / "models", who="ada", create=True)


@pytest.fixture
def name() -> str:
    return f"exchange-{next(_number)}"


def repository_of(name: str) -> str:
    return f"checkpoints/{name}"


def files(at: Path, **sizes: int) -> Path:
    """Weight files of so many MiB, none like another."""
    at.mkdir(exist_ok=True)
    for name, size in sizes.items():
        seed = digests.of_bytes(name.encode()).encode()
        (at / f"{name}.bin").write_bytes((seed * (MIB // len(seed) + 1))[:MIB] * size)
    (at / "config.json").write_text('{"model_type": "llama"}')
    return at


def version_of(registry: Registry, source: Path, name: str, version: str = "1") -> Version:
    return registry.resolve(add(registry, source, name, version).digest)


def test_a_version_arrives_with_its_signature(
    client: RegistryClient, registry: Registry, name: str, tmp_path: Path
) -> None:
    version = version_of(registry, files(tmp_path / "f", a=1), name)
    key, trusted = keys(tmp_path, "release")
    sign(registry, version, key)
    push_version(registry, version, client, repository_of, Meter())
    other = Registry.open(tmp_path / "other", who="bob", create=True)
    meter = Meter()
    added = pull_version(other, client, repository_of(name), "1", name, "1", meter)
    assert added.digest == version.digest
    assert meter.moved + meter.spared == meter.expected > MIB
    assert verify(other.layout, version.digest).holds
    assert signatures_of(other, other.resolve(added.digest), [trusted]).signed_by == ("release",)
    again = Meter()
    assert not pull_version(other, client, repository_of(name), "1", name, "1", again).is_new
    assert again.moved == 0


def test_a_shared_file_is_lent_by_the_other_repository(
    client: RegistryClient, registry: Registry, name: str, tmp_path: Path
) -> None:
    base = version_of(registry, files(tmp_path / "f", a=8, b=1), name)
    push_version(registry, base, client, repository_of, Meter())
    tuned = version_of(registry, files(tmp_path / "g", a=8, c=1), f"{name}-tuned")
    meter = Meter()
    push_version(registry, tuned, client, repository_of, meter)
    assert MIB < meter.moved < 1.1 * MIB
    assert meter.spared >= 8 * MIB
    fresh = Registry.open(tmp_path / "other", who="bob", create=True)
    pull_version(fresh, client, repository_of(tuned.name), "1", tuned.name, "1", Meter())
    assert verify(fresh.layout, tuned.digest).holds


def test_a_pull_that_was_cut_shows_nothing_and_goes_on(
    cut: tuple[Wire, RegistryClient],
    client: RegistryClient,
    registry: Registry,
    name: str,
    tmp_path: Path,
) -> None:
    lane, through = cut
    version = version_of(registry, files(tmp_path / "f", large=12, small=1), name)
    push_version(registry, version, client, repository_of, Meter())
    other = Registry.open(tmp_path / "other", who="bob", create=True)
    lane.cut_after(down=9 * MIB)
    with pytest.raises(RegistryError, match="REGISTRY_UNREACHABLE") as caught:
        pull_version(other, through, repository_of(name), "1", name, "1", Meter())
    assert "run it again" in caught.value.hint
    assert other.catalogue.events() == ()
    assert other.layout.entries() == ()
    lane.mend()
    meter = Meter()
    pull_version(other, through, repository_of(name), "1", name, "1", meter)
    assert verify(other.layout, version.digest).holds
    assert meter.moved < 6 * MIB
    assert lane.passed["down"] < 6 * MIB  # the wire itself says so
    assert meter.spared > 7 * MIB


def test_a_push_that_was_cut_shows_nothing_and_goes_on(
    cut: tuple[Wire, RegistryClient],
    client: RegistryClient,
    registry: Registry,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lane, through = cut
    monkeypatch.setattr("model_registry.transfer.AT_ONCE", 1)  # so that one is whole when it ends
    version = version_of(registry, files(tmp_path / "f", large=8, medium=4), name)
    lane.cut_after(up=10 * MIB)
    with pytest.raises(RegistryError, match="REGISTRY_UNREACHABLE"):
        push_version(registry, version, through, repository_of, Meter())
    assert not client.has_manifest(repository_of(name), "1")
    assert not client.has_manifest(repository_of(name), version.digest)
    lane.mend()
    meter = Meter()
    push_version(registry, version, through, repository_of, meter)
    assert meter.moved < 5 * MIB
    assert meter.spared == 8 * MIB
    assert client.has_manifest(repository_of(name), "1")


def test_a_cut_within_a_push_is_got_over_by_itself(
    cut: tuple[Wire, RegistryClient],
    server: Server,
    registry: Registry,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """This registry gives up an upload that was cut within a request: it begins again."""
    lane, _ = cut
    monkeypatch.setattr(blobs, "CHUNK", 2 * MIB)
    version = version_of(registry, files(tmp_path / "f", large=9), name)
    lane.cut_after(up=5 * MIB)
    pauses: list[float] = []

    def mend_then_go_on(pause_s: float) -> None:
        pauses.append(pause_s)
        lane.mend()

    with RegistryClient(
        f"oci://{lane.address}",
        username=USER,
        password=PASSWORD,
        ca_file=server.ca_file,
        pause=mend_then_go_on,
    ) as through:
        push_version(registry, version, through, repository_of, Meter())
        assert pauses
        assert through.has_manifest(repository_of(name), version.digest)
        other = Registry.open(tmp_path / "other", who="bob", create=True)
        pull_version(other, through, repository_of(name), "1", name, "1", Meter())
    assert verify(other.layout, version.digest).holds


def test_a_flipped_byte_in_what_a_registry_holds_is_refused(
    client: RegistryClient, server: Server, registry: Registry, name: str, tmp_path: Path
) -> None:
    version = version_of(registry, files(tmp_path / "f", a=1), name)
    push_version(registry, version, client, repository_of, Meter())
    weights = next(f for f in verify(registry.layout, version.digest).files if f.size >= MIB)
    hexed = weights.digest.removeprefix("sha256:")
    stored = server.folder / f"data/docker/registry/v2/blobs/sha256/{hexed[:2]}/{hexed}/data"
    whole = stored.read_bytes()
    stored.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    other = Registry.open(tmp_path / "other", who="bob", create=True)
    try:
        with pytest.raises(RegistryError, match="DIGEST_MISMATCH"):
            pull_version(other, client, repository_of(name), "1", name, "1", Meter())
    finally:
        stored.write_bytes(whole)
    assert other.catalogue.events() == ()
    assert weights.digest not in other.layout.stored()
    pull_version(other, client, repository_of(name), "1", name, "1", Meter())
    assert verify(other.layout, version.digest).holds


def test_a_flipped_byte_in_the_store_is_not_pushed(
    client: RegistryClient, registry: Registry, name: str, tmp_path: Path
) -> None:
    version = version_of(registry, files(tmp_path / "f", a=1), name)
    weights = next(f for f in verify(registry.layout, version.digest).files if f.size >= MIB)
    path = registry.layout.blob_path(weights.digest)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(RegistryError, match="BLOB_CHANGED"):
        push_version(registry, version, client, repository_of, Meter())
    assert not client.has_manifest(repository_of(name), "1")


def skopeo(server: Server, *words: str) -> str:
    certificates = server.folder / "certs"
    certificates.mkdir(exist_ok=True)
    (certificates / "ca.crt").write_bytes(server.ca_file.read_bytes())
    given = []
    for word in words:
        given.append(word)
        if word in ("inspect", "copy"):
            side = "src" if word == "copy" and words[-2].startswith("docker:") else "dest"
            prefix = "" if word == "inspect" else f"{side}-"
            given += [f"--{prefix}creds={USER}:{PASSWORD}", f"--{prefix}cert-dir={certificates}"]
    done = subprocess.run(
        ["skopeo", "--insecure-policy", *given],
        check=False, capture_output=True, text=True, timeout=60,
        env={**os.environ, "TMPDIR": str(server.folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_skopeo_reads_what_is_stored_and_what_it_copies_is_registered(
    client: RegistryClient, server: Server, registry: Registry, name: str, tmp_path: Path
) -> None:
    version = version_of(registry, files(tmp_path / "f", a=1), name)
    push_version(registry, version, client, repository_of, Meter())
    remote = f"docker://{server.address}/checkpoints"
    raw = skopeo(server, "inspect", "--raw", f"{remote}/{name}:1")
    assert digests.of_bytes(raw.encode()) == version.digest
    skopeo(server, "copy", f"{remote}/{name}:1", f"oci:{tmp_path}/copied:{name}")
    assert verify(OciLayout(tmp_path / "copied"), version.digest).holds
    local = f"oci:{registry.layout.path}:{name}:1"
    skopeo(server, "copy", local, f"{remote}/{name}-by-skopeo:v9")
    other = Registry.open(tmp_path / "other", who="bob", create=True)
    theirs = repository_of(f"{name}-by-skopeo")
    assert pull_version(other, client, theirs, "v9", name, "9", Meter()).digest == version.digest


def test_an_artifact_of_plain_files_is_registered_as_a_checkpoint(
    client: RegistryClient, registry: Registry, name: str, tmp_path: Path
) -> None:
    """In the form that ``oras push`` gives: no config, each layer a file with its title."""
    source = files(tmp_path / "f", a=1)
    repository = repository_of(name)
    layers = []
    for path in sorted(source.iterdir()):
        digest = digests.of_file(path)
        with path.open("rb") as file:
            client.upload(repository, digest, file, path.stat().st_size)
        layers.append(
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": digest,
                "size": path.stat().st_size,
                "annotations": {TITLE: path.name},
            }
        )
    config = {"mediaType": EMPTY_CONFIG, "digest": digests.of_bytes(b"{}"), "size": 2}
    (tmp_path / "empty").write_bytes(b"{}")
    with (tmp_path / "empty").open("rb") as file:
        client.upload(repository, config["digest"], file, 2)
    manifest = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "artifactType": "application/vnd.unknown.artifact.v1",
        "config": config,
        "layers": layers,
    }
    pushed = client.put_manifest(repository, json.dumps(manifest).encode(), "v1")
    added = pull_version(registry, client, repository, "v1", name, "1", Meter())
    stored = registry.layout.read_json(added.digest)
    assert stored["annotations"]["vnd.permafrost.packed-from"] == pushed
    verdict = verify(registry.layout, added.digest)
    assert ({f.path for f in verdict.files}, verdict.holds) == ({"a.bin", "config.json"}, True)
    assert not pull_version(registry, client, repository, "v1", name, "1", Meter()).is_new


@pytest.mark.parametrize("annotations", [{}, {TITLE: "d", "io.deis.oras.content.unpack": "true"}])
def test_an_artifact_of_archives_is_refused(
    client: RegistryClient,
    registry: Registry,
    name: str,
    tmp_path: Path,
    annotations: dict[str, str],
) -> None:
    repository = repository_of(name)
    content = tmp_path / "d"
    content.write_bytes(b"{}")
    digest = digests.of_file(content)
    with content.open("rb") as file:
        client.upload(repository, digest, file, 2)
    layer = {"mediaType": "x/y", "digest": digest, "size": 2, "annotations": annotations}
    manifest = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "config": {"mediaType": EMPTY_CONFIG, "digest": digest, "size": 2},
        "layers": [layer],
    }
    client.put_manifest(repository, json.dumps(manifest).encode(), "v1")
    with pytest.raises(RegistryRefused, match="NOT_A_CHECKPOINT"):
        pull_version(registry, client, repository, "v1", name, "1", Meter())
    assert registry.catalogue.events() == ()


def test_a_pickle_is_refused_before_it_is_fetched(
    client: RegistryClient, registry: Registry, name: str, tmp_path: Path
) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "model.pt").write_bytes(b"\x80\x04N.")
    added = add(registry, tmp_path / "f", name, "1", allow_unsafe=True)
    push_version(registry, registry.resolve(added.digest), client, repository_of, Meter())
    other, meter = Registry.open(tmp_path / "other", who="bob", create=True), Meter()
    with pytest.raises(RegistryRefused, match="UNSAFE_SERIALISATION"):
        pull_version(other, client, repository_of(name), "1", name, "1", meter)
    assert (meter.moved, other.catalogue.events()) == (0, ())
    pull_version(other, client, repository_of(name), "1", name, "1", meter, allow_unsafe=True)
    assert other.resolve(added.digest).unsafe == ("model.pt",)
