"""``destroy`` removes all that the site had, and says so; runs after the other scenarios."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pyVmomi import vim

from tests.acceptance.driver import Cli, VCenter, wait_until


@pytest.mark.ends_the_site
def test_destroy_removes_every_vm_rule_folder_and_pool(
    permafrost: Cli, lab: Cli, shell: Callable[..., Any], vsphere: VCenter
) -> None:
    status = permafrost.json("status")
    nodes = {n["name"] for e in status["endpoints"] for n in e["replicas"]}
    nodes |= {edge["name"] for edge in status["edges"]}
    assert len(nodes) >= 7
    assert {v.name for v in vsphere.all(vim.VirtualMachine) if v.name.startswith("lab-")} == nodes
    permafrost.run("destroy", expect=2)
    permafrost.run("destroy", "--yes", timeout=600)
    assert [v.name for v in vsphere.all(vim.VirtualMachine) if v.name.startswith("lab-")] == []
    (cluster,) = vsphere.all(vim.ClusterComputeResource)
    assert list(cluster.configurationEx.rule) == []
    assert not [f.name for f in vsphere.all(vim.Folder) if f.name.startswith("permafrost")]
    assert not [p.name for p in vsphere.all(vim.ResourcePool) if p.name.startswith("permafrost")]
    wait_until("every machine is gone", lambda: lab.json("status")["machines"] == [], 30)
    exported = json.loads(shell("pulumi stack export").stdout)
    kinds = {r["type"] for r in exported["deployment"].get("resources", [])}
    assert kinds <= {"pulumi:pulumi:Stack"}
