"""A site that brings its own registry: made, filled, served from, lost and moved.

The tests follow one another: each begins where the one before ended.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyVmomi import vim

from tests.acceptance.driver import Cli, VCenter, losses, traffic, wait_until

pytestmark = pytest.mark.soak

Status = Callable[[], dict[str, Any]]
Skopeo = Callable[..., subprocess.CompletedProcess[str]]
NODE, USER = "lab-registry-01", "permafrost"
RATE, AT_MOST_S = 8, 900
"""Requests a second, of which one replica alone can carry all."""


def machines(vsphere: VCenter) -> dict[str, str]:
    """Return where each VM stands that is on."""
    on = vim.VirtualMachine.PowerState.poweredOn
    return {
        vm.name: vm.runtime.host.name
        for vm in vsphere.all(vim.VirtualMachine)
        if vm.runtime.powerState == on
    }


def problems(done: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    """Return what a command said at its end, after the lines of its progress."""
    told = done.stderr
    found: list[dict[str, str]] = json.loads(told[told.index("[\n") :])
    return found


def test_a_first_deployment_makes_the_registry_alone_and_says_what_to_push(
    permafrost: Cli, vsphere: VCenter
) -> None:
    stopped = permafrost.run("deploy", "--yes", "--output", "json", expect=4, timeout=1800)
    first, *missing = problems(stopped)
    assert first["code"] == "REGISTRY_NOT_FILLED"
    assert "permafrost model push" in first["hint"]
    assert {p["code"] for p in missing} == {"CHECKPOINT_MISSING", "IMAGE_MISSING"}
    assert set(machines(vsphere)) == {NODE}
    again = permafrost.run("deploy", "--yes", "--output", "json", expect=3)
    assert problems(again)[0]["code"] == "REGISTRY_NOT_FILLED"
    assert set(machines(vsphere)) == {NODE}


def test_nodes_may_read_and_not_write(folder: Path, skopeo: Skopeo) -> None:
    """Before anything is in it, so that nothing can be overwritten."""
    url = registry_of(folder)
    secret = (folder / "state" / "secrets" / "registry-reader").read_text()
    source = image_of(folder)
    denied = skopeo(
        "copy", "--preserve-digests",
        "--src-creds", f"{USER}:{password_of(folder)}", f"docker://{source}",
        "--dest-creds", f"permafrost-nodes:{secret}", f"docker://{url}/images/triton:any",
        ca=both(folder), expect=1,
    )  # fmt: skip
    assert "may read, and not write" in denied.stderr


def test_what_was_asked_for_is_pushed_and_the_deployment_goes_on(
    permafrost: Cli, folder: Path, skopeo: Skopeo, status: Status, tmp_path: Path
) -> None:
    creds = f"{USER}:{password_of(folder)}"
    skopeo(
        "copy", "--preserve-digests", "--src-creds", creds, "--dest-creds", creds,
        f"docker://{image_of(folder)}", f"docker://{registry_of(folder)}/images/triton:lab",
        ca=both(folder),
    )  # fmt: skip
    lacks = permafrost.run("deploy", "--yes", "--output", "json", expect=3)
    assert {p["code"] for p in problems(lacks)} == {"REGISTRY_NOT_FILLED", "CHECKPOINT_MISSING"}
    env = {**permafrost.env, "PERMAFROST_MODELS": str(tmp_path / "models")}
    from_lab = Cli(permafrost.program, {**env, "PERMAFROST_SITE": str(site_of_the_lab(folder))})
    pinned = document(folder)["inference"]["pulse"]["model"]
    from_lab.json("model", "pull", pinned, "--as", "pulse:1")
    Cli(permafrost.program, env).json("model", "push", "pulse:1")
    done = permafrost.json("deploy", "--yes", timeout=1800)
    assert done["healthy"]
    assert status()["registry"]["state"] == "UP"
    assert permafrost.json("plan")["steps"] == []
    found = {f["name"]: f for f in permafrost.json("doctor")["checks"]}
    assert found["registry"]["level"] == "ok"
    assert "its certificate is of" in found["registry"]["detail"]


def test_replicas_serve_without_it_and_a_deployment_brings_it_back(
    permafrost: Cli, lab: Cli, vsphere: VCenter, status: Status, tmp_path: Path
) -> None:
    asked = permafrost.json("ok-to-stop", "vm", NODE)
    assert asked["ok"]
    assert any("replicas serve on without it" in note for note in asked["notes"])
    with traffic(lab, "pulse", RATE, AT_MOST_S, 0.5, tmp_path / "off.jsonl") as pulse:
        pulse.await_steady()
        (vm,) = (v for v in vsphere.all(vim.VirtualMachine) if v.name == NODE)
        vm.PowerOff()
        wait_until("it is off", lambda: NODE not in machines(vsphere), 60)
        seen = status()
        assert seen["registry"]["state"] == "DOWN"
        assert not seen["healthy"]
        assert permafrost.json("deploy", "--yes", timeout=600)["healthy"]
        pulse.end()
        assert losses(pulse.finish()) == (0, 0, 0)
    assert status()["registry"]["state"] == "UP"


def test_its_host_goes_and_it_moves_away_first(
    permafrost: Cli, lab: Cli, vsphere: VCenter, status: Status, tmp_path: Path
) -> None:
    host = machines(vsphere)[NODE]
    with traffic(lab, "pulse", RATE, AT_MOST_S, 0.5, tmp_path / "host.jsonl") as pulse:
        pulse.await_steady()
        permafrost.json("maintenance", "enter", host, "--yes", timeout=600)
        assert machines(vsphere)[NODE] != host
        assert status()["registry"]["state"] == "UP"
        permafrost.json("maintenance", "exit", host, "--yes", timeout=600)
        pulse.end()
        assert losses(pulse.finish()) == (0, 0, 0)
    assert machines(vsphere)[NODE] == host
    assert status()["healthy"]


def document(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "site.yaml").read_text())
    return found


def registry_of(folder: Path) -> str:
    """Return host and port of the site's own registry."""
    return str(document(folder)["registry"]["url"]).removeprefix("oci://")


def password_of(folder: Path) -> str:
    return (folder / "registry" / "password").read_text().strip()


def lab_registry(folder: Path) -> str:
    """Return host and port of the lab's registry."""
    told = json.loads((folder / "registry" / "auth.json").read_text())
    (address,) = told["auths"]
    return str(address)


def image_of(folder: Path) -> str:
    """Return the pinned image where the lab's registry has it."""
    return f"{lab_registry(folder)}/{document(folder)['inference']['pulse']['image']}"


def both(folder: Path) -> Path:
    """Return what trusts both registries: the lab's authority and the site's."""
    file = folder / "both.pem"
    parts = (folder / "ca" / "ca.pem", folder / "state" / "pki" / "ca.pem")
    file.write_text("".join(part.read_text() for part in parts))
    return file


def site_of_the_lab(folder: Path) -> Path:
    """Write the same site with the lab's registry: what was built for it is pulled from there."""
    values = document(folder)
    registry = values["registry"]
    del registry["node"]
    registry |= {"url": f"oci://{lab_registry(folder)}", "ca_file": "ca/ca.pem"}
    file = folder / "lab-registry-site.yaml"
    file.write_text(yaml.safe_dump(values))
    return file
