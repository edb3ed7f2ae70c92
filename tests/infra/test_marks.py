"""Tags, attributes, overrides and rules of racks, as the program asks Pulumi for them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.components.domain_rules import DomainRules
from infra.components.edge_vm import EdgeVm
from infra.components.foundation import Foundation
from infra.components.ownership import Ownership
from infra.components.seed import seed_of
from permafrost.planning.domains import domain_rules
from permafrost.planning.placement import Placement, Slot
from permafrost.site.load import load_site
from permafrost.topology import edges
from tests.infra.test_components import VM, NoHooks, declare, run

GOLDEN = Path(__file__).with_name("marks.json")
KINDS = (
    "tag:Tag",
    "tagCategory:TagCategory",
    "customAttribute:CustomAttribute",
    "drsVmOverride:DrsVmOverride",
    "haVmOverride:HaVmOverride",
    "computeClusterHostGroup:ComputeClusterHostGroup",
    "computeClusterVmGroup:ComputeClusterVmGroup",
    "computeClusterVmHostRule:ComputeClusterVmHostRule",
)
KEY = "ssh-ed25519 AAAA someone"
HOSTS = {f"esx-{i}": f"host-{i}" for i in range(1, 7)}


def in_racks(site_file: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Two edges, one in each of two racks of three hosts; a third rack has nothing to keep."""
    values = yaml.safe_load(site_file.read_text())
    values["failure_domains"] = {"level": "rack"}
    values["hosts"] = {name: {"rack": f"rack-{int(name[-1]) % 3}"} for name in HOSTS}
    values["edge"] = {"nodes": 2, "vip": "10.9.8.10", "vrrp_id": 51}
    site_file.write_text(yaml.safe_dump(values))
    site = load_site(site_file).site
    slots = {n.name: Slot(f"esx-{i}", f"host-{i}") for i, n in enumerate(edges(site), start=1)}

    def program() -> None:
        hooks: Any = NoHooks()
        foundation = Foundation(site, hooks=hooks)
        ownership = Ownership(site, hooks=hooks)
        vms = {
            node.name: EdgeVm(
                site,
                node,
                slots[node.name],
                seed=seed_of(site, node, KEY),
                foundation=foundation,
                ownership=ownership,
                hooks=hooks,
            )
            for node in edges(site)
        }
        rules = domain_rules(site, Placement(slots), HOSTS)
        DomainRules(site.site, rules, vms, HOSTS, foundation=foundation, hooks=hooks)

    return run(program)


def marks(made: dict[tuple[str, str], dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        f"{kind.rpartition(':')[2]} {name}": inputs
        for (kind, name), inputs in sorted(made.items())
        if kind.partition("/")[2] in KINDS
    }


def test_the_marks_of_a_site_are_those_of_the_golden_file(site_file: Path) -> None:
    at_hosts = declare(load_site(site_file).site)
    seen = {"at level host": marks(at_hosts), "at level rack": marks(in_racks(site_file))}
    text = json.dumps(seen, indent=1, sort_keys=True) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_a_vm_is_made_with_its_tag_and_its_attributes(site_file: Path) -> None:
    made = declare(load_site(site_file).site)
    replica, edge = made[VM, "tiny-pulse-01"], made[VM, "tiny-edge-01"]
    assert replica["tags"] == ["permafrost-tiny-pulse-id"]
    assert edge["tags"] == ["permafrost-tiny-edge-id"]
    assert replica["customAttributes"] == {
        "permafrost-tiny-managed-by-id": "Permafrost, Pulumi stack lab",
        "permafrost-tiny-role-id": "replica of pulse",
    }


@pytest.mark.parametrize("level", ["host", "rack"])
def test_rules_of_racks_are_for_sites_of_racks_alone(site_file: Path, level: str) -> None:
    made = in_racks(site_file) if level == "rack" else declare(load_site(site_file).site)
    rules = sorted(name for kind, name in made if kind.endswith(KINDS[-1]))
    assert rules == (
        ["keep-edges-in-tiny-rack-1", "keep-edges-in-tiny-rack-2"] if level == "rack" else []
    )
