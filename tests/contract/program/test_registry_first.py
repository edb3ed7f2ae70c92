"""A site with its own registry, in the engine: a first ``up`` makes it alone, a second the rest.

The registry that is looked up is a real one, by the files of the role; it runs on the loopback,
for the VMs do not exist.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from model_registry.checkpoint import pack
from model_registry.client import RegistryClient
from model_registry.fingerprint.referrers import attach
from model_registry.layout import OciLayout
from model_registry.transfer import push_layout
from permafrost.pki import site_pki
from permafrost.site.load import LoadedSite
from permafrost.topology import nodes
from tests.contract.program.conftest import Program
from tests.contract.program.standing import EVENTS, MAIN
from tests.contract.registry.vm import WRITER, RegistryVm, empty_image, registry_vm

pytestmark = pytest.mark.soak

REGISTRY = "lab-registry-01"


def with_registry(program: Program, vm: RegistryVm, model: str, image: str) -> None:
    """Let the site have a registry on a VM; its name leads to the one that runs here."""

    def change(values: dict[str, Any]) -> None:
        del values["registry"]["ca_file"]
        values["registry"] |= {
            "url": f"oci://localhost:{vm.address.partition(':')[2]}",
            "username": WRITER[0],
            "node": {"address": "10.64.1.110", "data_disk_gib": 10},
        }
        values["inference"]["chat"] |= {"model": f"tiny@{model}", "image": f"any@{image}"}

    folder = program.loaded.path.parent
    (folder / program.loaded.site.registry.password_file).write_text(WRITER[1])
    program.rewrite(change)


def fill(vm: RegistryVm, loaded: LoadedSite, layout: OciLayout, image: Path) -> None:
    """Push what the site pins, as its runbook says."""
    url, (user, password) = loaded.site.registry.url, WRITER
    with RegistryClient(url, username=user, password=password, ca_file=vm.ca_file) as client:
        push_layout(layout.path, client, "checkpoints/tiny")
    subprocess.run(
        ["skopeo", "copy", "--preserve-digests", "--dest-creds", ":".join(WRITER),
         f"oci:{image}:any", f"docker://{url.removeprefix('oci://')}/images/any:any"],
        env={**os.environ, "SSL_CERT_FILE": str(vm.ca_file)}, check=True, capture_output=True,
    )  # fmt: skip


def test_a_first_up_makes_the_registry_alone_and_the_next_one_the_rest(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, events = tmp_path / "standing", program.vcenter.events_file
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: permafrost\nruntime: python\n")
    (folder / "__main__.py").write_text(MAIN)
    monkeypatch.setenv(EVENTS, str(events))
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "model.weights").write_bytes(b"frozen" * 1000)
    layout = OciLayout.create(tmp_path / "oci")
    model = pack(weights, layout, "tiny")
    attach(layout, model, {"schema": 1, "checkpoint": model, "probes": []})
    image = empty_image(tmp_path / "image")
    pin = json.loads((image / "index.json").read_text())["manifests"][0]["digest"]

    def up() -> tuple[subprocess.CompletedProcess[str], set[str]]:
        before = len(events.read_text().splitlines()) if events.exists() else 0
        done = program.pulumi("up", "--yes", "--skip-preview", folder=folder)
        lines = events.read_text().splitlines()[before:]
        return done, {line.split()[1] for line in lines}

    servers = tmp_path / "registry"
    servers.mkdir()
    with registry_vm(servers, site_pki(program.loaded)) as vm:
        with_registry(program, vm, model, pin)
        done, touched = up()
        assert done.returncode != 0
        said = done.stdout + done.stderr
        assert "REGISTRY_NOT_FILLED: registry.node" in said, said
        assert "CHECKPOINT_MISSING: inference.chat.model" in said
        assert "IMAGE_MISSING: inference.chat.image" in said
        assert touched == {REGISTRY}, said
        assert [m.name for m in program.observe().vms if m.name.startswith("lab-")] == [REGISTRY]
        done, touched = up()
        assert done.returncode != 0, "still empty"
        assert touched == set()
        fill(vm, program.loaded, layout, image)
        done, touched = up()
        assert done.returncode == 0, done.stdout + done.stderr
        assert touched == {n.name for n in nodes(program.loaded.site)} - {REGISTRY}
        done, touched = up()
        assert (done.returncode, touched) == (0, set()), "nothing is left to do"
