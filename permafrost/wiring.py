"""Which adapter serves which port."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from permafrost.adapters.clocks import read_clocks
from permafrost.adapters.haproxy import HaproxyRuntime
from permafrost.adapters.node_agent import NodeAgent
from permafrost.adapters.object_store import probe_object_store
from permafrost.adapters.registry import OciCatalog
from permafrost.adapters.services import services_of
from permafrost.adapters.ssh import SshShell
from permafrost.adapters.vsphere import VcenterSession, VsphereHypervisor
from permafrost.engine.releases import as_served, release, releases
from permafrost.engine.state import StateStore
from permafrost.engine.waiting import SystemClock
from permafrost.pki import site_pki, ssh_key
from permafrost.planning.release import SLOTS
from permafrost.runbook.context import Context
from permafrost.site.load import LoadedSite, load_site
from permafrost.topology import edges, nodes

if TYPE_CHECKING:
    from collections.abc import Callable

    from permafrost.adapters.fingerprints import OciFingerprints
    from permafrost.ports import Converger, Provisioner, VectorStore

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
    pinned, loaded = loaded, as_served(store, loaded)
    site = loaded.site
    ssh_key(loaded.state_dir)
    shell = SshShell(loaded.state_dir, {n.name: str(n.address) for n in nodes(site)})
    clock = SystemClock()
    session = VcenterSession(loaded)
    return Context(
        loaded=loaded,
        store=store,
        hypervisor=VsphereHypervisor(
            session, site.vcenter.datacenter, site.vcenter.cluster, clock
        ),
        traffic=HaproxyRuntime(
            [e.name for e in edges(site)],
            shell,
            str(site.edge.vip) if site.edge.vip else "",
        ),
        models=NodeAgent(shell, lambda name: _live_slot(store, loaded, name)),
        catalog=OciCatalog(loaded),
        clock=clock,
        make_provisioner=lambda: _provisioner(loaded, progress),
        # It is told what file and lock pin: only a change of that configures a node anew.
        make_converger=lambda: _converger(pinned, store),
        services=lambda: services_of(site),
        object_store=lambda: probe_object_store(loaded),
        clocks=lambda names: read_clocks(shell, names),
        knowledge=_knowledge(loaded, shell),
        lock_token=lock_token or os.environ.get(LOCK_TOKEN) or None,
    )


def fingerprints_of(loaded: LoadedSite) -> OciFingerprints:
    """Return where the fingerprints of a site's checkpoints are kept."""
    from permafrost.adapters.fingerprints import OciFingerprints

    return OciFingerprints(loaded)


def _knowledge(loaded: LoadedSite, shell: SshShell) -> VectorStore | None:
    if loaded.site.knowledge is None:
        return None
    from permafrost.adapters.milvus import MilvusStore

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
