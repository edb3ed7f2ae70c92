"""The policy pack in Pulumi's own engine: our program passes, a bad one fails in preview."""

from __future__ import annotations

from pathlib import Path

import yaml

from permafrost.adapters.pulumi_stack.environment import CHECKOUT
from tests.contract.program.conftest import Program

PACK = str(CHECKOUT / "policy")
RULES = (
    "mandatory-rules",
    "full-reservation",
    "digest-pins",
    "no-force-power-off",
    "protected-data",
)
BAD_PROGRAM = """
import pulumi, pulumi_vsphere as vsphere
from pulumi.dynamic import CreateResult, Resource, ResourceProvider

class Provider(ResourceProvider):
    def create(self, props):
        return CreateResult("x", props)

class Convergence(Resource, module="permafrost", name="Convergence"):
    pass

center = vsphere.get_datacenter(name="DC0")
cluster = vsphere.get_compute_cluster(name="DC0_C0", datacenter_id=center.id)
store = vsphere.get_datastore(name="LocalDS_0", datacenter_id=center.id)
network = vsphere.get_network(name="DC0_DVPG0", datacenter_id=center.id)
host = vsphere.get_host(name="esx-0", datacenter_id=center.id)
machines = [
    vsphere.VirtualMachine(
        f"bad-{i}", name=f"bad-{i}", resource_pool_id=cluster.resource_pool_id,
        datastore_id=store.id, host_system_id=host.id, guest_id="otherGuest", num_cpus=2,
        memory=2048, memory_reservation=1024, pci_device_ids=["0000:3b:00.0"],
        network_interfaces=[{"network_id": network.id}],
        disks=[{"label": "disk0", "size": 10}, {"label": "data0", "size": 10, "unit_number": 1}],
    )
    for i in range(2)
]
vsphere.ComputeClusterVmAntiAffinityRule(
    "apart", compute_cluster_id=cluster.id, virtual_machine_ids=[m.id for m in machines]
)
Convergence(Provider(), "bad-0", {"checkpoint": "latest", "image": "triton:latest"})
"""


def test_our_own_program_passes(program: Program) -> None:
    done = program.pulumi("preview", "--policy-pack", PACK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "permafrost@v" in done.stdout, done.stdout


def test_a_bad_program_fails_in_preview_with_every_rule(program: Program, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    runtime = {"name": "python", "options": {"virtualenv": str(CHECKOUT / ".venv")}}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "permafrost", "runtime": runtime}))
    (folder / "__main__.py").write_text(BAD_PROGRAM)
    done = program.pulumi("preview", "--policy-pack", PACK, folder=folder)
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert [rule for rule in RULES if rule not in said] == [], said
    assert "bad-1: 1024 of 2048 MiB are reserved" in said
    assert "the reservation is not locked" in said
    # The control: without the pack the same program is taken.
    assert program.pulumi("preview", folder=folder).returncode == 0
