"""What the program asks Pulumi for, seen through Pulumi's mocks."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from infra.components.anti_affinity import AntiAffinity
from infra.components.convergence import Convergence
from infra.components.edge_vm import EdgeVm
from infra.components.foundation import Foundation
from infra.components.inference_vm import InferenceVm
from infra.components.overrides import Overrides
from infra.components.ownership import Ownership
from infra.components.seed import seed_of
from permafrost.planning.ownership import PINNED
from permafrost.planning.placement import Slot
from permafrost.site.load import load_site
from permafrost.site.model import Site
from permafrost.topology import edges, replicas
from tests.infra.conftest import DIGEST, IMAGE

VM = "vsphere:index/virtualMachine:VirtualMachine"
RULE = "vsphere:index/computeClusterVmAntiAffinityRule:ComputeClusterVmAntiAffinityRule"
CONVERGENCE = "pulumi-python:dynamic/permafrost:Convergence"
LOOKUPS = {
    "vsphere:index/getVirtualMachine:getVirtualMachine": {
        "id": "template-uuid",
        "guestId": "debian12_64Guest",
        "disks": [{"size": 10, "label": "disk0"}],
    },
    "vsphere:index/getComputeCluster:getComputeCluster": {
        "id": "domain-c1",
        "resourcePoolId": "resgroup-1",
    },
}


class Recorder(pulumi.runtime.Mocks):
    """Answers like an engine that makes everything, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, str], dict[str, Any]] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.made[args.typ, args.name] = args.inputs
        return f"{args.name}-id", {**args.inputs, "uuid": f"{args.name}-uuid"}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        return {"id": args.args.get("name", "x"), **LOOKUPS.get(args.token, {})}


class NoHooks:
    """The engine behind the mocks runs no hooks."""

    guarded = pulumi.ResourceHookBinding()

    def of_vm(self, node: object) -> pulumi.ResourceHookBinding:
        return pulumi.ResourceHookBinding()

    def watch(self, resource: pulumi.Resource) -> None:
        return None


@pytest.fixture
def declared(site_file: Path) -> dict[tuple[str, str], dict[str, Any]]:
    return declare(load_site(site_file).site)


def declare(site: Site) -> dict[tuple[str, str], dict[str, Any]]:
    def program() -> None:
        hooks: Any = NoHooks()
        foundation = Foundation(site, hooks=hooks)
        ownership = Ownership(site, hooks=hooks)
        vms = []
        for index, node in enumerate(replicas(site, "pulse"), start=1):
            slot = Slot(f"esx-{index}", f"host-{index}", ("0000:3b:00.0",))
            seed = seed_of(site, node, "ssh-ed25519 AAAA someone")
            vms.append(
                InferenceVm(
                    site,
                    node,
                    slot,
                    seed=seed,
                    foundation=foundation,
                    ownership=ownership,
                    hooks=hooks,
                )
            )
        edge = EdgeVm(
            site,
            edges(site)[0],
            Slot("esx-1", "host-1"),
            seed=seed_of(site, edges(site)[0], "ssh-ed25519 AAAA someone"),
            foundation=foundation,
            ownership=ownership,
            hooks=hooks,
        )
        AntiAffinity(site, "pulse", vms, foundation=foundation, hooks=hooks)
        for vm in vms:
            Overrides(vm, PINNED, foundation=foundation, hooks=hooks)
        for vm in [edge, *vms]:
            Convergence(site, vm, "sha256:converged", hooks=hooks)

    return run(program)


def run(program: Callable[[], None]) -> dict[tuple[str, str], dict[str, Any]]:
    recorder = Recorder()
    asyncio.set_event_loop(asyncio.new_event_loop())
    pulumi.runtime.set_mocks(recorder, project="permafrost", stack="lab")
    pulumi.runtime.test(program)()
    return recorder.made


def test_a_replica_gets_the_device_of_its_placement_with_all_its_memory_reserved(
    declared: dict[tuple[str, str], dict[str, Any]],
) -> None:
    vm = declared[VM, "tiny-pulse-02"]
    assert vm["hostSystemId"] == "host-2"
    assert vm["pciDeviceIds"] == ["0000:3b:00.0"]
    assert vm["memoryReservation"] == vm["memory"] == 4096
    assert vm["memoryReservationLockedToMax"] is True
    assert vm["extraConfig"]["pciPassthru.use64bitMMIO"] == "TRUE"
    assert vm["extraConfig"]["pciPassthru.64bitMMIOSizeGB"] == "512"
    assert vm["firmware"] == "efi"
    assert vm["forcePowerOff"] is False


def test_an_edge_has_no_device_and_no_reservation(
    declared: dict[tuple[str, str], dict[str, Any]],
) -> None:
    vm = declared[VM, "tiny-edge-01"]
    assert "pciDeviceIds" not in vm
    assert "memoryReservation" not in vm
    assert vm["numCpus"] == 2
    assert not any(key.startswith("pciPassthru") for key in vm["extraConfig"])


def test_first_boot_tells_a_vm_its_name_and_address_and_no_secret(
    declared: dict[tuple[str, str], dict[str, Any]],
) -> None:
    extra = declared[VM, "tiny-pulse-01"]["extraConfig"]
    metadata = yaml.safe_load(base64.b64decode(extra["guestinfo.metadata"]))
    userdata = yaml.safe_load(base64.b64decode(extra["guestinfo.userdata"]))
    assert metadata["local-hostname"] == "tiny-pulse-01"
    ((name, card),) = metadata["network"]["ethernets"].items()
    # The networkd renderer of cloud-init matches by the key, netplan by "match".
    assert name == card["match"]["name"] == "[eh]*"
    assert card["addresses"] == ["10.9.8.21/24"]
    # cloud-init's networkd renderer refuses the word "default".
    assert card["routes"] == [{"to": "0.0.0.0/0", "via": "10.9.8.1"}]
    (user,) = userdata["users"]
    assert user["name"] == "permafrost"
    assert user["ssh_authorized_keys"] == ["ssh-ed25519 AAAA someone"]
    assert "not-a-secret" not in str(metadata) + str(userdata)


def test_replicas_of_an_endpoint_are_kept_apart_by_a_mandatory_rule(
    declared: dict[tuple[str, str], dict[str, Any]],
) -> None:
    rule = declared[RULE, "keep-apart-tiny-pulse"]
    assert rule["mandatory"] is True
    assert rule["enabled"] is True
    assert rule["virtualMachineIds"] == ["tiny-pulse-01-id", "tiny-pulse-02-id"]


def test_a_single_replica_needs_no_rule(site_file: Path) -> None:
    document = yaml.safe_load(site_file.read_text())
    site = load_site(site_file).site

    def program() -> None:
        hooks: Any = NoHooks()
        foundation = Foundation(site, hooks=hooks)
        AntiAffinity(site, "pulse", [], foundation=foundation, hooks=hooks)

    assert document["site"] == "tiny"
    assert not [name for kind, name in run(program) if kind == RULE]


def test_convergence_follows_the_vm_and_names_only_digests(
    declared: dict[tuple[str, str], dict[str, Any]],
) -> None:
    inputs = declared[CONVERGENCE, "tiny-pulse-01"]
    assert inputs["vm"] == "tiny-pulse-01-uuid"
    assert inputs["checkpoint"] == DIGEST
    assert inputs["image"] == IMAGE
    assert declared[CONVERGENCE, "tiny-edge-01"]["checkpoint"] == ""


def test_a_vms_fingerprint_changes_with_its_size(site_file: Path) -> None:
    def fingerprint() -> str:
        return str(
            declare(load_site(site_file).site)[CONVERGENCE, "tiny-pulse-01"]["vm_fingerprint"]
        )

    before = fingerprint()
    assert before == fingerprint()
    document = yaml.safe_load(site_file.read_text())
    document["inference"]["pulse"]["vm"]["memory_mib"] = 8192
    site_file.write_text(yaml.safe_dump(document))
    assert before != fingerprint()


def test_the_pool_says_what_the_provider_would_otherwise_ask_for_ever(
    declared: dict[tuple[str, str], dict[str, Any]],
) -> None:
    pool = declared["vsphere:index/resourcePool:ResourcePool", "permafrost"]
    assert pool["scaleDescendantsShares"] == "disabled"


def test_networks_and_datastores_are_those_of_the_group(site_file: Path) -> None:
    values = yaml.safe_load(site_file.read_text())
    values["networks"] = {
        "clients": {
            "port_group": "clients",
            "subnet": "10.9.9.0/24",
            "gateway": "10.9.9.1",
            "addresses": "10.9.9.20-10.9.9.29",
        }
    }
    values["edge"] = {"network": "clients"}
    values["storage"] = {"inference": "nvme"}
    site_file.write_text(yaml.safe_dump(values))
    made = declare(load_site(site_file).site)
    edge, replica = made[VM, "tiny-edge-01"], made[VM, "tiny-pulse-01"]
    assert edge["networkInterfaces"][0]["networkId"] == "clients"
    assert replica["networkInterfaces"][0]["networkId"] == "site-network"
    assert (edge["datastoreId"], replica["datastoreId"]) == ("datastore1", "nvme")
    metadata = yaml.safe_load(base64.b64decode(edge["extraConfig"]["guestinfo.metadata"]))
    assert "10.9.9.20/24" in str(metadata)
    assert "10.9.9.1" in str(metadata)
