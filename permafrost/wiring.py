"""Which adapter serves which port.

Adapters whose libraries take long to import are made when they are first asked: a command waits
for none that it does not need, and vCenter's is loaded while the edges and nodes answer.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from permafrost.adapters.clocks import read_clocks
from permafrost.adapters.haproxy import HaproxyRuntime
from permafrost.adapters.node_agent import NodeAgent
from permafrost.adapters.services import services_of
from permafrost.adapters.ssh import SshShell
from permafrost.engine.releases import as_served, release, releases
from permafrost.engine.state import StateStore
from permafrost.engine.waiting import SystemClock
from permafrost.pki.ssh import ssh_key
from permafrost.planning.release import SLOTS
from permafrost.runbook.context import Context
from permafrost.site.load import LoadedSite, load_site
from permafrost.topology import edges, nodes

if TYPE_CHECKING:
    from collections.abc import Callable

    from permafrost.adapters.fingerprints import OciFingerprints
    from permafrost.errors import Problem
    from permafrost.ports import Catalog, Clock, Converger, Hypervisor, Provisioner, VectorStore

T = TypeVar("T")
LOCK_TOKEN = "PERMAFROST_LOCK_TOKEN"  # noqa: S105  (the name of a variable)


def open_context(
    site_path: Path,
    *,
    lock_token: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Context:
    """Open a site with the real adapters.

    Without a token that of the environment is used: a command hands it to the ``pulumi`` that
    it starts, whose hooks and resources then belong to the same operation.
    """
    return context_for(load_site(site_path), lock_token=lock_token, progress=progress)


def context_for(
    loaded: LoadedSite,
    *,
    lock_token: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Context:
    """Return the context of a loaded site."""
    store = StateStore(loaded.state_dir)
    store.claim(loaded.site.site)
    pinned, loaded = loaded, as_served(store, loaded)
    site = loaded.site
    ssh_key(loaded.state_dir)
    shell = SshShell(loaded.state_dir, {n.name: str(n.address) for n in nodes(site)})
    clock = SystemClock()
    return Context(
        loaded=loaded,
        store=store,
        hypervisor=_when_asked(lambda: _hypervisor(loaded, clock)),
        traffic=HaproxyRuntime(
            [e.name for e in edges(site)],
            shell,
            str(site.edge.vip) if site.edge.vip else "",
        ),
        models=NodeAgent(shell, lambda name: _live_slot(store, loaded, name)),
        catalog=_when_asked(lambda: _catalog(loaded)),
        clock=clock,
        make_provisioner=lambda: _provisioner(loaded, progress),
        # It is told what file and lock pin: only a change of that configures a node anew.
        make_converger=lambda: _converger(pinned, store),
        services=lambda: services_of(site),
        object_store=lambda: _object_store_problems(loaded),
        clocks=lambda names: read_clocks(shell, names),
        knowledge=_knowledge(loaded, shell),
        lock_token=lock_token or os.environ.get(LOCK_TOKEN) or None,
    )


def _when_asked(make: Callable[[], T]) -> T:
    """Return what stands in for a port until it is first asked."""
    return cast("T", _WhenAsked(make))


class _WhenAsked:
    """A port whose adapter is made with the first question; safe from any thread."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: Any = None

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._make()
        return getattr(self._made, name)


def _hypervisor(loaded: LoadedSite, clock: Clock) -> Hypervisor:
    from permafrost.adapters.vsphere import VcenterSession, VsphereHypervisor

    vcenter = loaded.site.vcenter
    return VsphereHypervisor(VcenterSession(loaded), vcenter.datacenter, vcenter.cluster, clock)


def _catalog(loaded: LoadedSite) -> Catalog:
    from permafrost.adapters.registry import OciCatalog

    return OciCatalog(loaded)


def _object_store_problems(loaded: LoadedSite) -> tuple[Problem, ...]:
    from permafrost.adapters.object_store import probe_object_store

    return probe_object_store(loaded)


def fingerprints_of(loaded: LoadedSite) -> OciFingerprints:
    """Return where the fingerprints of a site's checkpoints are kept."""
    from permafrost.adapters.fingerprints import OciFingerprints

    return OciFingerprints(loaded)


def _knowledge(loaded: LoadedSite, shell: SshShell) -> VectorStore | None:
    if loaded.site.knowledge is None:
        return None
    from permafrost.adapters.milvus import MilvusStore
    from permafrost.pki import site_pki

    return MilvusStore(loaded, shell, site_pki(loaded).ca_path)


def _provisioner(loaded: LoadedSite, progress: Callable[[str], None] | None) -> Provisioner:
    from permafrost.adapters.pulumi_stack import PulumiStack

    folder = loaded.site.control.pulumi_dir
    engine = loaded.resolve(folder) if folder else None
    return PulumiStack(loaded, engine=engine, progress=progress)


def _converger(loaded: LoadedSite, store: StateStore) -> Converger:
    from permafrost.adapters.ansible import AnsibleConverger

    return AnsibleConverger(loaded, releases=lambda: releases(store, loaded))


def _live_slot(store: StateStore, loaded: LoadedSite, node: str) -> str:
    """Return the slot that answers on a node; nodes that leave the site have only the first."""
    endpoint = next((n.endpoint for n in nodes(loaded.site) if n.name == node), "")
    return release(store, loaded, endpoint).live if endpoint else SLOTS[0]
