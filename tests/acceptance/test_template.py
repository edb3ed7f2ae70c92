"""Another template: every VM is made anew, the old one deleted first, one after the other.

Replicas under load: nothing is lost. Edges afterwards, without load: a connection ends with its
edge, and the clients' address moves (docs/runbook/deploy.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from tests.acceptance.driver import Cli, VCenter, wait_until
from tests.acceptance.powerevents import FORETOLD, happened, latest, power_events, turns
from tests.acceptance.test_update_ways import PULSE, Scene, scene

__all__ = ["scene"]

pytestmark = pytest.mark.soak

Shell = Callable[..., Any]
ONE, TWO = "debian-13", "debian-13-two"
EDGES = ["lab-edge-01", "lab-edge-02"]
UP_S, REST_S = 1200, 2400


def other_template(vsphere: VCenter, text: str) -> tuple[str, str]:
    """Return the site file with the other template, which is cloned where there is none yet."""
    found = re.search(r"\n  template: (\S+)", text)
    assert found
    name = TWO if found[1] == ONE else ONE
    if name not in {vm.name for vm in vsphere.all(vim.VirtualMachine)}:
        (cluster,) = vsphere.all(vim.ClusterComputeResource)
        place = vim.vm.RelocateSpec(pool=cluster.resourcePool)
        spec = vim.vm.CloneSpec(location=place, template=True, powerOn=False)
        old = vsphere.vm(found[1])
        vsphere.await_task(old.CloneVM_Task(old.parent, name, spec))
    return name, text.replace(found[0], f"\n  template: {name}")


def test_every_vm_is_made_anew_one_after_the_other(
    scene: Scene, permafrost: Cli, shell: Shell, vsphere: VCenter, site_file: Path
) -> None:
    uuids = {name: vsphere.vm(name).config.uuid for name in scene.everybody()}
    _, text = other_template(vsphere, site_file.read_text(encoding="utf-8"))
    site_file.write_text(text, encoding="utf-8")
    foretold = scene.foretold()
    assert foretold == dict.fromkeys(uuids, "replaced")

    targets = " ".join(f"--target '**virtualMachine:VirtualMachine::{n}'" for n in PULSE)
    up = f"pulumi up --yes --non-interactive --skip-preview --target-dependents {targets}"
    scene.under_load(lambda: shell(up, timeout=UP_S), dict.fromkeys(PULSE, "replaced"))
    now = {name: vsphere.vm(name).config.uuid for name in uuids}
    assert {n for n in uuids if now[n] != uuids[n]} == set(PULSE)

    since, rest = latest(vsphere), [n for n in uuids if n not in PULSE]
    assert scene.foretold() == {n: "replaced" if n in rest else "untouched" for n in uuids}
    shell("pulumi up --yes --non-interactive --skip-preview", timeout=REST_S)
    events = power_events(vsphere, since)
    wanted = {n: FORETOLD["replaced" if n in rest else "untouched"] for n in uuids}
    assert happened(events, uuids) == wanted
    assert turns(events, EDGES) == EDGES, "clients always find one of them"
    chat = [n for n in rest if n not in EDGES]
    assert sorted(turns(events, chat)) == sorted(chat), "one after the other"
    last_edge = max(key for key, name, _ in events if name in EDGES)
    assert last_edge < min(key for key, name, _ in events if name in chat)
    wait_until("all serve", lambda: permafrost.json("status")["healthy"], 120, every_s=1)
    assert permafrost.json("plan")["steps"] == []
    assert permafrost.json("drift")["drift"] == []
    shell("pulumi preview --non-interactive --expect-no-changes")
