"""What the program asks Pulumi for where the registry is a VM of the site."""

from __future__ import annotations

from typing import Any

from infra.components.foundation import Foundation
from infra.components.ownership import Ownership
from infra.components.registry_vm import RegistryVm
from infra.components.seed import seed_of
from infra.program import VMS
from permafrost.planning.placement import Slot
from permafrost.topology import Tier, holds_data, registry_node
from policy.rules import RULES
from tests.fakes.site import small_site
from tests.fakes.sites import example_site
from tests.infra.test_components import VM, NoHooks, run

SITE = example_site("three-racks")


def declared() -> dict[str, Any]:
    node = registry_node(SITE)
    assert node is not None

    def program() -> None:
        hooks: Any = NoHooks()
        hooks.is_teardown = False
        RegistryVm(
            SITE,
            node,
            Slot("esx-a3", "host-9"),
            seed=seed_of(SITE, node, "ssh-ed25519 AAAA someone"),
            foundation=Foundation(SITE, hooks=hooks),
            ownership=Ownership(SITE, hooks=hooks),
            hooks=hooks,
        )

    return run(program)[VM, node.name]


def test_the_registry_is_one_vm_with_a_disk_of_its_own() -> None:
    vm = declared()
    assert vm["name"] == "oslo-registry-01"
    assert (vm["numCpus"], vm["memory"]) == (8, 16384)
    assert [(d["label"], d["size"], d["unitNumber"]) for d in vm["disks"]] == [
        ("disk0", 40, 0),
        ("data", 4000, 1),
    ]
    assert vm["datastoreId"] == "vsan-archive"
    assert "pciDeviceIds" not in vm
    assert vm["forcePowerOff"] is False


def test_the_policy_wants_it_protected_and_the_component_says_it_holds_data() -> None:
    vm = declared()
    (rule,) = (r for r in RULES if r.name == "protected-data")
    assert rule.violations(VM, vm, protect=False)
    assert not rule.violations(VM, vm, protect=True)
    assert RegistryVm.holds_data
    assert [r.name for r in RULES if r.violations(VM, vm, protect=True)] == []


def test_every_tier_has_its_component_and_each_that_holds_data_is_protected() -> None:
    assert VMS.keys() == set(Tier)
    assert {t for t, c in VMS.items() if c.holds_data} == {Tier.KNOWLEDGE, Tier.REGISTRY}
    assert holds_data(SITE)
    assert not holds_data(small_site())
