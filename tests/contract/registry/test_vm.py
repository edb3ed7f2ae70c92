"""The registry's VM as it is configured: who may read, who may write, and whom it is believed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from model_registry.checkpoint import pack
from model_registry.client import RegistryClient
from model_registry.errors import RegistryError
from model_registry.fingerprint.referrers import attach
from model_registry.layout import OciLayout
from model_registry.media_types import IMAGE_MANIFEST
from model_registry.transfer import push_layout
from permafrost.adapters.registry import OciCatalog
from permafrost.errors import Failed
from permafrost.node.pull import pull
from permafrost.node.registry import RegistryReader
from permafrost.node.settings import Registry
from permafrost.node.store import ModelStore
from permafrost.pki import SitePki
from permafrost.runbook.doctor_registry import registry_findings
from permafrost.runbook.findings import Level
from permafrost.site.load import LoadedSite
from tests.contract.registry.vm import (
    READER,
    WRITER,
    RegistryVm,
    context,
    empty_image,
    registry_vm,
)
from tests.fakes.site import context as context_of_site
from tests.fakes.site import registry_site
from tests.fakes.world import World
from tests.golden.ansible.rendering import golden_site

REPOSITORY = "checkpoints/tiny"


@pytest.fixture(scope="module")
def vm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryVm]:
    with registry_vm(tmp_path_factory.mktemp("registry-vm")) as made:
        yield made


def client_of(
    vm: RegistryVm, user: tuple[str, str], ca_file: Path | None = None
) -> RegistryClient:
    name, password = user
    return RegistryClient(
        f"oci://{vm.address}",
        username=name,
        password=password,
        ca_file=ca_file or vm.ca_file,
        pause=lambda _: None,
    )


@pytest.fixture
def layout(files: Path, tmp_path: Path) -> tuple[OciLayout, str]:
    made = OciLayout.create(tmp_path / "oci")
    digest = pack(files, made, "tiny")
    attach(made, digest, {"schema": 1, "checkpoint": digest, "probes": []})
    return made, digest


def asked(vm: RegistryVm, method: str, path: str, user: tuple[str, str] | None) -> httpx.Response:
    with httpx.Client(
        base_url=f"https://{vm.address}", verify=context(vm), auth=user, trust_env=False
    ) as session:
        return session.request(method, path, headers={"Accept": IMAGE_MANIFEST})


def test_who_writes_pushes_and_a_node_pulls_it(
    vm: RegistryVm, layout: tuple[OciLayout, str], tmp_path: Path
) -> None:
    made, digest = layout
    with client_of(vm, WRITER) as client:
        push_layout(made.path, client, REPOSITORY)
    password = tmp_path / "password"
    password.write_text(READER[1] + "\n")
    told = Registry(f"https://{vm.address}", REPOSITORY, READER[0], password, vm.ca_file)
    store = ModelStore(tmp_path / "models")
    assert pull(digest, store, RegistryReader(told), tmp_path / "fp.json", dict)["changed"]
    assert {f.path for f in store.verify(digest)} >= {"model.weights", "README.md"}


def test_who_reads_may_not_push(vm: RegistryVm, layout: tuple[OciLayout, str]) -> None:
    made, digest = layout
    with client_of(vm, READER) as client, pytest.raises(RegistryError):
        push_layout(made.path, client, "checkpoints/of-a-node")
    answer = asked(vm, "GET", f"/v2/checkpoints/of-a-node/manifests/{digest}", WRITER)
    assert answer.status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_no_way_of_writing_is_left_to_who_reads(vm: RegistryVm, method: str) -> None:
    denied = asked(vm, method, "/v2/checkpoints/tiny/blobs/uploads/", READER)
    assert denied.status_code == 403
    assert denied.json()["errors"][0]["code"] == "DENIED"
    assert asked(vm, method, "/v2/checkpoints/tiny/blobs/uploads/", WRITER).status_code != 403


@pytest.mark.parametrize(
    "user",
    [None, ("permafrost", "guessed"), (READER[0], WRITER[1]), (WRITER[0], READER[1]), ("", "")],
    ids=["nobody", "guessed", "reader by the writer's password", "the reverse", "empty"],
)
def test_nobody_else_is_answered(vm: RegistryVm, user: tuple[str, str] | None) -> None:
    for method in ("GET", "HEAD", "POST"):
        answer = asked(vm, method, "/v2/", user)
        assert answer.status_code == 401, method
        assert answer.headers["www-authenticate"].startswith("Basic ")


def test_what_was_pushed_is_taken_away_by_nobody(
    vm: RegistryVm, layout: tuple[OciLayout, str]
) -> None:
    made, digest = layout
    with client_of(vm, WRITER) as client:
        push_layout(made.path, client, REPOSITORY)
    path = f"/v2/{REPOSITORY}/manifests/{digest}"
    assert asked(vm, "DELETE", path, WRITER).status_code == 405
    assert asked(vm, "GET", path, READER).status_code == 200


def test_another_authority_is_not_believed(vm: RegistryVm, tmp_path: Path) -> None:
    other = SitePki(tmp_path / "other", "other").ca_path
    with client_of(vm, WRITER, other) as client, pytest.raises(RegistryError) as caught:
        client.referrers(REPOSITORY, "sha256:" + "0" * 64)
    assert caught.value.code == "REGISTRY_UNREACHABLE"
    with httpx.Client(trust_env=False) as strange, pytest.raises(httpx.ConnectError):
        strange.get(f"https://{vm.address}/v2/")


def test_the_orchestrator_finds_it_by_the_sites_own_authority(vm: RegistryVm) -> None:
    catalog = OciCatalog(site_of(vm))
    catalog.ping()
    assert not catalog.has_image("nothing@sha256:" + "0" * 64)
    (vm.folder / "registry-password").write_text("guessed")
    with pytest.raises(Failed) as caught:
        catalog.ping()
    assert caught.value.code == "REGISTRY_LOGIN"


def test_the_doctor_says_that_it_answers_and_by_which_certificate(
    vm: RegistryVm, tmp_path: Path
) -> None:
    ctx = context_of_site(tmp_path / "state", World.of(registry_site()))
    ctx.loaded = site_of(vm)
    ctx.catalog = OciCatalog(ctx.loaded)
    (found,) = registry_findings(ctx)
    assert found.level is Level.OK
    assert f"answers at oci://{vm.address}; its certificate is of Permafrost" in found.detail
    (vm.folder / "registry-password").write_text("guessed")
    (found,) = registry_findings(ctx)
    assert (found.level, "user and password" in found.detail) == (Level.PROBLEM, True)


def site_of(vm: RegistryVm) -> LoadedSite:
    """Return the golden site as if its registry stood on the loopback."""
    site = golden_site("tromso")
    assert site.registry.node is not None
    registry = site.registry.model_copy(update={"url": f"oci://{vm.address}"})
    (vm.folder / "registry-password").write_text(WRITER[1] + "\n")
    return LoadedSite(site.model_copy(update={"registry": registry}), vm.folder / "site.yaml")


def test_an_upload_goes_on_over_a_restart_of_the_registry(vm: RegistryVm) -> None:
    begun = asked(vm, "POST", "/v2/checkpoints/tiny/blobs/uploads/", WRITER)
    assert begun.status_code == 202
    place = begun.headers["location"]
    assert place.startswith("/v2/"), "by TLS, and the name by which it began"
    vm.restart()
    with httpx.Client(
        base_url=f"https://{vm.address}", verify=context(vm), auth=WRITER, trust_env=False
    ) as session:
        answer = session.patch(
            place, content=b"bytes", headers={"Content-Type": "application/octet-stream"}
        )
    assert answer.status_code == 202


def test_images_are_copied_with_skopeo_by_who_writes(vm: RegistryVm, tmp_path: Path) -> None:
    """As docs/runbook/deploy.md does: the authority for this registry alone, no password in ps."""
    source = f"oci:{empty_image(tmp_path / 'image')}:any"
    target = f"docker://{vm.address}/images/any:any"
    trusted = tmp_path / ".config" / "containers" / "certs.d" / vm.address
    trusted.mkdir(parents=True)
    shutil.copy(vm.ca_file, trusted / "ca.crt")
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
    }

    def skopeo(*argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["skopeo", *argv],
            env=environment, input=stdin, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def log_in(name: str, password: str) -> None:
        done = skopeo(
            "login", "--username", name, "--password-stdin", vm.address, stdin=f"{password}\n"
        )
        assert done.returncode == 0, done.stderr

    log_in(*READER)
    denied = skopeo("copy", "--preserve-digests", source, target)
    assert denied.returncode != 0
    assert "may read, and not write" in denied.stderr
    log_in(*WRITER)
    done = skopeo("copy", "--preserve-digests", source, target)
    assert done.returncode == 0, done.stderr
    log_in(*READER)
    got = skopeo("inspect", target)
    pushed = json.loads((tmp_path / "image" / "index.json").read_text())["manifests"][0]["digest"]
    assert json.loads(got.stdout)["Digest"] == pushed
