"""Sites that differ from a good one in one field, and what the program then asks of each VM."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pulumi
import pulumi_vsphere as vsphere
from pulumi._types import input_type_to_dict

from infra.components import node_vm
from infra.components.seed import seed_of
from infra.program import VMS
from permafrost.errors import Problem, Refused
from permafrost.planning.addresses import moved_addresses
from permafrost.planning.placement import Placement, plan_placement
from permafrost.planning.snapshot import GpuFacts, HostFacts, VmFacts
from permafrost.site.load import load_site
from permafrost.site.model import Site
from permafrost.topology import Node, datastore_of, nodes, port_group_of
from tests.fakes.graphics import L40S, cards

Place = tuple[str | int, ...]
Inputs = dict[str, Any]
KEY = "ssh-ed25519 AAAA someone"
KINDS = ("10de:2330", "10de:26b9", "10de:2331")
WORDS: tuple[Any, ...] = (
    "passthrough", "none", "rack", "room", "host", "lab", "hardware", "required",
    "llamacpp", "pulse", "HNSW", "IVF_FLAT", "FLAT", "IVF_SQ8", "hnsw", "flat", "ivf_flat", "ip",
    "cosine", "l2", *KINDS, "grid_l40s-24c", "other", "10.64.1.250", {}, [],
)  # fmt: skip
"""What may stand where the form of the value before suggests nothing."""


@dataclass(frozen=True)
class Declared:
    """What is asked for each VM, and of which inputs the program ignores a change."""

    placement: Placement
    vms: Mapping[str, Inputs]
    ignored: Mapping[str, tuple[str, ...]]

    def inputs(self, name: str, ignored: tuple[str, ...]) -> Inputs:
        """Return a VM's inputs without those: the engine takes them from its state."""
        return without(copy.deepcopy(self.vms[name]), ignored)


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    """Yield where each value of a document stands that is no mapping or list with something in."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from places(inner, (*here, key))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from places(inner, (*here, index))
    else:
        yield here


def others(value: Any) -> Iterator[Any]:
    """Yield values that could stand in the place of one, the likeliest first."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value * 2, value - 1, value + 4, value // 2)
    elif isinstance(value, str):
        for found in reversed(list(re.finditer(r"\d+", value))):
            for step in (1, -1):
                digits = str(max(0, int(found[0]) + step))
                yield value[: found.start()] + digits + value[found.end() :]
        yield f"{value}x"
    else:
        yield from (1, True, "a", 64)
    yield from WORDS


def at(document: Any, place: Place) -> Any:
    """Return what stands at a place."""
    for key in place:
        document = document[key]
    return document


def changed(document: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    """Return the document with another value at one place."""
    values = copy.deepcopy(document)
    at(values, place[:-1])[place[-1]] = value
    return values


def one_field_changes(
    folder: Path, document: dict[str, Any], most: int
) -> Iterator[tuple[Place, list[Site]]]:
    """Yield each place of a document, with at most so many sites that differ there alone."""
    path = folder / "site.yaml"
    for place in places(document):
        before, found = at(document, place), []
        for value in others(before):
            if value == before and type(value) is type(before):
                continue
            path.write_text(json.dumps(changed(document, place, value)))  # JSON is YAML
            try:
                found.append(load_site(path, with_files=False).site)
            except Refused:
                continue
            if len(found) == most:
                break
        yield place, found


def hosts(site: Site) -> list[HostFacts]:
    """Return hosts that have room for the site and some more, of its labels where it has some."""
    names = sorted(site.hosts) or [f"esx-{i:02}.example.net" for i in range(1, 10)]
    devices = tuple(
        GpuFacts(f"0000:{16 * i + n:02x}:00.0", kind)
        for i, kind in enumerate(KINDS)
        for n in range(12)
    )
    return [
        HostFacts(name, f"host-{i}", True, False, devices, cards=cards(4), vgpu_profiles=L40S)
        for i, name in enumerate(names, start=1)
    ]


def declare(
    site: Site, recorded: Placement, seen: list[HostFacts], vms: tuple[VmFacts, ...] = ()
) -> Declared:
    """Return what the program asks for, placed as `deploy` places it; raise Refused as it does."""
    if moved := moved_addresses(site, vms):
        raise Refused(*moved)
    placement = plan_placement(site, seen, recorded)
    found: dict[str, Inputs] = {}
    ignored: dict[str, tuple[str, ...]] = {}

    def machine(_: str, *, opts: Any, **arguments: Any) -> Any:
        inputs = input_type_to_dict(vsphere.VirtualMachineArgs(**arguments))
        found[str(arguments["name"])] = plain(inputs)
        ignored[str(arguments["name"])] = tuple(opts.ignore_changes)
        return SimpleNamespace(default_ip_address="", uuid="")

    hooks: Any = SimpleNamespace(is_teardown=False, of_vm=lambda _: None, watch=lambda _: None)
    ownership: Any = SimpleNamespace(tags=lambda _: [], attributes=lambda _: {})
    with (
        mock.patch.object(pulumi.ComponentResource, "__init__", return_value=None),
        mock.patch.object(pulumi.ComponentResource, "register_outputs", return_value=None),
        mock.patch.object(pulumi, "ResourceOptions", SimpleNamespace),
        mock.patch.object(node_vm.vsphere, "VirtualMachine", machine),
    ):
        for node in nodes(site):
            VMS[node.tier](
                site,
                node,
                placement[node.name],
                seed=seed_of(site, node, KEY),
                foundation=foundation(site, nodes(site)),
                ownership=ownership,
                hooks=hooks,
            )
    return Declared(placement, found, ignored)


def foundation(site: Site, members: tuple[Node, ...]) -> Any:
    """Return what is looked up and made before VMs; whatever has another name is another thing."""
    vcenter = site.vcenter
    where = f"{vcenter.server}/{vcenter.datacenter}"
    return SimpleNamespace(
        template_uuid=f"{where}/{vcenter.template}",
        template_guest_id="debian12_64Guest",
        template_disk_gib=10,
        pool=SimpleNamespace(id=f"{where}/{vcenter.cluster}/{vcenter.resource_pool}"),
        folder=SimpleNamespace(path=vcenter.folder),
        datastore_ids={d: f"{where}/{d}" for d in {datastore_of(site, n) for n in members}},
        network_ids={p: f"{where}/{p}" for p in {port_group_of(site, n) for n in members}},
    )


def plain(value: Any) -> Any:
    """Return arguments of the SDK as the engine gets them."""
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items() if v is not None}
    return plain(input_type_to_dict(value)) if pulumi._types.is_input_type(type(value)) else value


def without(inputs: Inputs, ignored: tuple[str, ...]) -> Inputs:
    """Return inputs without some paths."""
    for path in ignored:
        if key := re.fullmatch(r'(\w+)\["(.*)"\]', path):
            inputs.get(key[1], {}).pop(key[2], None)
        else:
            inputs.pop(path.split(".")[0], None)
    return inputs


def refused(problem: Problem) -> str:
    """Return a refusal's code; each has to say what to do."""
    assert problem.hint, f"{problem.code} ({problem.path}) says not what to do"
    return problem.code
