"""Production examples: their plans on an inventory that fits them, line by line."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from permafrost.planning.deploy import Plan, as_lines, plan_deploy
from permafrost.planning.live import LiveState
from permafrost.planning.placement import Placement, plan_placement
from permafrost.planning.snapshot import GpuFacts, HostFacts, Inventory
from permafrost.planning.unsupported import unsupported
from permafrost.site.load import load_site
from permafrost.topology import nodes
from tests.fakes.graphics import L40S, cards
from tests.fakes.sites import EXAMPLES, example_site, write_example

HERE = Path(__file__).parent


def host(name: str, kind: str, gpus: int, *, vgpus: int = 0) -> HostFacts:
    return HostFacts(
        name,
        f"host-{name.partition('.')[0]}",
        True,
        False,
        tuple(GpuFacts(f"0000:{16 * j + 15:02x}:00.0", kind) for j in range(gpus)),
        cpus=128,
        memory_mib=1_572_864,
        cards=cards(vgpus),
        vgpu_profiles=L40S if vgpus else (),
    )


def inventory(example: str) -> Inventory:
    """Eight GPUs a host and one host of vGPUs in each rack; or three hosts of one GPU."""
    if example == "small":
        return Inventory(tuple(host(f"esx-{i:02}", "10de:26b9", 1) for i in (1, 2, 3)))
    return Inventory(
        tuple(
            host(f"esx-{rack}{i}.example.net", "10de:2330", 8 if i < 3 else 0,
                 vgpus=4 if i == 3 else 0)
            for rack in "abc"
            for i in (1, 2, 3)
        )
    )  # fmt: skip


def plan_of(example: str) -> Plan:
    site, seen = example_site(example), inventory(example)
    placement = plan_placement(site, seen.hosts, Placement(), seen.vms)
    changes: list[Any] = []
    if not unsupported(site):
        vm = "vsphere:index/virtualMachine:VirtualMachine"
        changes = [SimpleNamespace(operation="create", type=vm, name=n.name) for n in nodes(site)]
    return plan_deploy(
        site, LiveState(seen), recorded=Placement(), placement=placement, changes=changes
    )


def text_of(plan: Plan) -> str:
    lines = [f"{number}  {line}" for number, line in as_lines(plan).items()]
    lines += plan.capacity_lines
    lines += [
        f"{node} has " + ", ".join(f"{n} x {role}" for role, n in roles.items())
        for node, roles in plan.roles.items()
    ]
    lines += [f"deploy refuses {p.code} {p.path}" for p in plan.unsupported]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_plan_of_an_example(example: str) -> None:
    golden = HERE / f"{example}.txt"
    text = text_of(plan_of(example))
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_valid_with_its_files(example: str, tmp_path: Path) -> None:
    loaded = load_site(write_example(tmp_path, example))
    assert len(nodes(loaded.site)) == {"small": 4, "three-racks": 18}[example]
