"""In which order the program has things made: edges that serve follow one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from infra import program
from permafrost.engine.state import StateStore
from permafrost.planning.placement import Slot
from permafrost.site.load import load_site
from permafrost.topology import Tier, edges, nodes

ONE, TWO = "tiny-edge-01", "tiny-edge-02"


@dataclass
class Declared:
    """What the program declares of a site, and the record of what was configured before."""

    declare: Callable[[], dict[str, list[str]]]
    store: StateStore
    configured: dict[str, list[str]]
    """What each configuration waits for, beside its VM."""


@pytest.fixture
def declared(site_file: Path, monkeypatch: pytest.MonkeyPatch) -> Declared:
    """Declaring gives VM to what it waits for, beside its inputs."""
    return declaring(site_file, monkeypatch)


@pytest.fixture
def with_registry(site_file: Path, monkeypatch: pytest.MonkeyPatch) -> Declared:
    """The same site with its registry on a VM."""
    values = yaml.safe_load(site_file.read_text())
    values["registry"] |= {"url": "oci://10.9.8.120:5000", "node": {"address": "10.9.8.120"}}
    values["registry"].pop("ca_file")
    site_file.write_text(yaml.safe_dump(values))
    return declaring(site_file, monkeypatch)


def declaring(site_file: Path, monkeypatch: pytest.MonkeyPatch) -> Declared:
    values = yaml.safe_load(site_file.read_text())
    values["edge"] = {"nodes": 2, "vip": "10.9.8.10", "vrrp_id": 51}
    values["knowledge"] = {"milvus": {}}
    site_file.write_text(yaml.safe_dump(values))
    loaded = load_site(site_file)
    waits: dict[str, list[str]] = {}
    configured: dict[str, list[str]] = {}

    def machine(_site: object, node: Any, *_: object, depends_on: Any, **__: object) -> Any:
        waits[node.name] = list(depends_on)
        return SimpleNamespace(node=node, address="", vm=None)

    def convergence(_site: object, vm: Any, *_: object, depends_on: Any = (), **__: object) -> str:
        if vm.node.tier is Tier.KNOWLEDGE:
            assert list(depends_on) == waits[vm.node.name]
        configured[vm.node.name] = list(depends_on)
        return f"convergence of {vm.node.name}"

    def nothing(*_: object, **__: object) -> Any:
        return SimpleNamespace()

    for name in (
        "SiteHooks",
        "Foundation",
        "Ownership",
        "AntiAffinity",
        "Overrides",
        "ClusterConvergence",
    ):
        monkeypatch.setattr(program, name, nothing)
    monkeypatch.setattr(program, "VMS", dict.fromkeys(Tier, machine))
    monkeypatch.setattr(program, "Convergence", convergence)
    monkeypatch.setattr(
        program, "RegistryContents", lambda vm, *_, **__: f"contents of {vm.node.name}"
    )
    monkeypatch.setattr(program, "seed_of", nothing)
    monkeypatch.setattr(program.pulumi, "export", nothing)
    monkeypatch.setattr(program.vm_hooks, "is_teardown", lambda _: False)
    slots = {n.name: Slot("esx-1", "host-1") for n in nodes(loaded.site)}
    monkeypatch.setattr(program, "placement_for", lambda *_, **__: slots)
    converger = SimpleNamespace(fingerprint=lambda node: node.name)
    monkeypatch.setattr(program, "AnsibleConverger", lambda *_: converger)

    def declare() -> dict[str, list[str]]:
        waits.clear()
        program.declare_site(loaded)
        return dict(waits)

    return Declared(declare, StateStore(loaded.state_dir), configured)


def test_new_edges_are_made_side_by_side(declared: Declared) -> None:
    assert not any(declared.declare().values())


def test_an_edge_that_serves_waits_until_the_one_before_is_configured(
    declared: Declared, site_file: Path
) -> None:
    for edge in edges(load_site(site_file).site):
        declared.store.record_converged(edge.name, "vm", "fingerprint")
    waits = declared.declare()
    assert waits[TWO] == [f"convergence of {ONE}"]
    assert waits[ONE] == []
    assert not any(waits[name] for name in waits if "pulse" in name)
    # One whose VM is gone (an `up` was cut between the two) does not let the other go too.
    declared.store.forget(ONE)
    assert declared.declare()[TWO] == [f"convergence of {ONE}"]


def test_a_replica_that_serves_waits_until_edges_are_configured(
    declared: Declared, site_file: Path
) -> None:
    """A drain tells every edge: one that is being replaced meanwhile could not be told."""
    assert declared.declare()["tiny-pulse-01"] == []
    declared.store.record_converged("tiny-pulse-01", "vm", "fingerprint")
    waits = declared.declare()
    assert waits["tiny-pulse-01"] == [f"convergence of {ONE}", f"convergence of {TWO}"]
    assert waits["tiny-pulse-02"] == [], "a new one is made beside them"


def test_members_that_serve_follow_one_another_and_new_ones_do_not(
    declared: Declared, site_file: Path
) -> None:
    """Neither VM nor configuration of a member before the one before it is whole again."""
    one, two, three = (f"tiny-knowledge-0{i}" for i in (1, 2, 3))
    assert not any(declared.declare()[name] for name in (one, two, three))
    for name in (one, two, three):
        declared.store.record_converged(name, "vm", "fingerprint")
    waits = declared.declare()
    assert waits[two] == []
    assert waits[one] == [f"convergence of {two}"]
    assert waits[three] == [f"convergence of {one}"]


FILLED = ["convergence of tiny-registry-01", "contents of tiny-registry-01"]


def test_nothing_new_is_made_before_the_sites_registry_is_filled(
    with_registry: Declared, site_file: Path
) -> None:
    waits = with_registry.declare()
    assert waits.pop("tiny-registry-01") == []
    assert set(waits) == {n.name for n in nodes(load_site(site_file).site)} - {"tiny-registry-01"}
    assert {name: w for name, w in waits.items() if w != FILLED} == {}


def test_what_serves_is_touched_only_when_the_sites_registry_could_fill_it_again(
    with_registry: Declared, site_file: Path
) -> None:
    for node in nodes(load_site(site_file).site):
        with_registry.store.record_converged(node.name, "vm", "fingerprint")
    waits = with_registry.declare()
    assert waits[ONE] == [], "an edge pulls nothing"
    for name in waits:
        if "pulse" in name or "knowledge" in name:
            assert waits[name][:2] == FILLED, name
    assert with_registry.configured["tiny-pulse-01"][:2] == FILLED
    assert with_registry.configured["tiny-registry-01"] == []
