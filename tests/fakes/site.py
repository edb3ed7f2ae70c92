"""A small site, its context over fakes, and its file."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from permafrost.engine.releases import release
from permafrost.engine.state import DeclaredState, StateStore
from permafrost.planning.placement import Slot
from permafrost.runbook.context import Context
from permafrost.site.load import LoadedSite
from permafrost.site.model import Site
from permafrost.topology import nodes
from tests.fakes.catalog import FakeCatalog
from tests.fakes.converger import FakeConverger
from tests.fakes.hypervisor import FakeHypervisor
from tests.fakes.knowledge import FakeVectorStore
from tests.fakes.model_server import FakeModelServer
from tests.fakes.provisioner import FakeProvisioner
from tests.fakes.traffic_director import FakeTrafficDirector
from tests.fakes.world import World, WorldClock

DOCUMENT = Path(__file__).with_name("site.yaml")
FILES = ("vcenter", "registry", "passphrase", "ca.pem", "key.asc")


def document() -> dict[str, Any]:
    """Return a whole, valid site document."""
    return copy.deepcopy(_document())


@cache
def _document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    return found


def small_site(**endpoints: dict[str, Any]) -> Site:
    """Return the site, with keys of endpoints replaced (``chat={"replicas": 4}``)."""
    values = document()
    for name, keys in endpoints.items():
        base = values["inference"].get(name) or values["inference"]["chat"]
        values["inference"][name] = {**base, **keys}
    return Site.model_validate(values)


def registry_site(**node: Any) -> Site:
    """Return the site with its registry on a VM of its own (``clients=["10.9.0.0/16"]``)."""
    values = document()
    values["registry"] |= {
        "url": "oci://10.64.1.110:5000",
        "node": {"address": "10.64.1.110", **node},
    }
    del values["registry"]["ca_file"]
    return Site.model_validate(values)


def write_site(folder: Path, values: dict[str, Any] | None = None) -> Path:
    """Write a site file with all the files that it names; return its path."""
    secrets = folder / "secrets"
    secrets.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        path = secrets / name
        path.write_text("something\n", encoding="utf-8")
        path.chmod(0o600)
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(values or document(), sort_keys=False), encoding="utf-8")
    return path


def open_store(state_dir: Path) -> StateStore:
    """Return a real store."""
    return StateStore(state_dir)


def context(state_dir: Path, world: World, *, is_deployed: bool = True) -> Context:
    """Return a context over a world; the store is a real one."""
    store = open_store(state_dir)
    if is_deployed and not store.declared():
        for name in world.machines:
            if name in {r for _, r in world.edge_state}:
                store.declare(name, DeclaredState.ADMITTED, owner="deploy")
    loaded = LoadedSite(world.site, state_dir.parent / "site.yaml")
    provisioner = FakeProvisioner(world)

    def live_slot(name: str) -> str:
        endpoint = next((n.endpoint for n in nodes(world.site) if n.name == name), "")
        return release(store, loaded, endpoint).live if endpoint else "a"

    converger = FakeConverger(world)
    return Context(
        loaded=loaded,
        store=store,
        hypervisor=FakeHypervisor(world),
        traffic=FakeTrafficDirector(world),
        models=FakeModelServer(world, live_slot),
        catalog=FakeCatalog(),
        clock=WorldClock(world),
        make_provisioner=lambda: provisioner,
        make_converger=lambda: converger,
        knowledge=FakeVectorStore(world) if world.site.knowledge is not None else None,
    )


def placed_context(state_dir: Path, world: World) -> Context:
    """Return a context whose store knows where every machine stands, as after a deployment."""
    made = context(state_dir, world)
    made.store.record_placement(
        {m.name: Slot(m.host, world.hosts[m.host].moid, m.gpus) for m in world.machines.values()}
    )
    return made
