"""What exists on a site: folder, pool, one VM a node, rules; then the convergence of each node.

A registry on a VM of the site comes before everything that pulls from it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pulumi

from infra import vm_hooks
from infra.components.anti_affinity import AntiAffinity
from infra.components.cluster_convergence import ClusterConvergence
from infra.components.convergence import Convergence
from infra.components.domain_rules import DomainRules
from infra.components.edge_vm import EdgeVm
from infra.components.foundation import Foundation
from infra.components.hooks import SiteHooks
from infra.components.inference_vm import InferenceVm
from infra.components.knowledge_vm import KnowledgeVm
from infra.components.node_vm import NodeVm
from infra.components.overrides import Overrides
from infra.components.ownership import Ownership
from infra.components.placement import placement_for
from infra.components.registry_contents import RegistryContents
from infra.components.registry_vm import RegistryVm
from infra.components.seed import seed_of
from infra.drift_guard import require_no_drift
from permafrost.adapters.ansible import AnsibleConverger
from permafrost.adapters.pulumi_stack.lifeline import bind_to_engine
from permafrost.engine.state import StateStore
from permafrost.errors import PermafrostError, Problem, Refused
from permafrost.pki import ssh_key
from permafrost.planning.domains import domain_rules
from permafrost.planning.knowledge import members as members_of
from permafrost.planning.knowledge import rolling_order
from permafrost.planning.ownership import override_of
from permafrost.planning.placement import Placement
from permafrost.runbook.knowledge import cluster_fingerprint
from permafrost.runbook.registry_contents import pins_fingerprint
from permafrost.site.load import LoadedSite, load_site
from permafrost.site.model import FailureDomainLevel
from permafrost.topology import Node, Tier, edges, holds_data, nodes, registry_node, replicas
from permafrost.wiring import open_context

VMS: dict[Tier, type[NodeVm]] = {
    Tier.EDGE: EdgeVm,
    Tier.INFERENCE: InferenceVm,
    Tier.KNOWLEDGE: KnowledgeVm,
    Tier.REGISTRY: RegistryVm,
}


def deploy() -> None:
    """Declare the whole site."""
    bind_to_engine()
    try:
        loaded = _site_of_environment()
        require_no_drift(loaded)
        declare_site(loaded)
    except PermafrostError as error:
        # The engine shows the message of a RunError alone, without a traceback.
        raise pulumi.RunError(str(error)) from None


def declare_site(loaded: LoadedSite) -> None:
    """Declare every resource of one site."""
    site = loaded.site
    store = StateStore(loaded.state_dir)
    placement = placement_for(loaded, store, is_preview=pulumi.runtime.is_dry_run())
    hooks = SiteHooks(
        loaded.path,
        frozenset(node.name for node in nodes(site)),
        is_teardown=holds_data(site) and vm_hooks.is_teardown(loaded.path),
    )
    foundation = Foundation(site, hooks=hooks)
    ownership = Ownership(site, hooks=hooks)
    public_key = ssh_key(loaded.state_dir).public
    converger = AnsibleConverger(loaded)

    def make(node: Node, depends_on: Sequence[pulumi.Resource] = ()) -> NodeVm:
        return VMS[node.tier](
            site,
            node,
            placement[node.name],
            seed=seed_of(site, node, public_key),
            foundation=foundation,
            ownership=ownership,
            hooks=hooks,
            depends_on=depends_on,
        )

    vms: dict[str, NodeVm] = {}
    registry_steps: list[pulumi.Resource] = []
    if (registry := registry_node(site)) is not None:
        # Nothing else is made before it holds what the site pins: no node could start.
        vms[registry.name] = make(registry)
        registry_steps.append(
            Convergence(site, vms[registry.name], converger.fingerprint(registry), hooks=hooks)
        )
        registry_steps.append(
            RegistryContents(
                vms[registry.name], pins_fingerprint(site), hooks=hooks, depends_on=registry_steps
            )
        )
    edge_steps: list[pulumi.Resource] = []
    for node in edges(site):
        # Edges that serve are changed one after the other: clients always find one of them.
        before = edge_steps[-1:] if store.converged(node.name) else registry_steps
        vms[node.name] = make(node, before)
        edge_steps.append(
            Convergence(site, vms[node.name], converger.fingerprint(node), hooks=hooks)
        )
    for node in nodes(site):
        if node.tier is Tier.INFERENCE:
            # Draining one that serves tells every edge: edges that change are whole before. Nor
            # is one touched that could not get back what it serves.
            told = edge_steps if store.converged(node.name) else []
            vms[node.name] = make(node, [*registry_steps, *told])
    member_steps: list[pulumi.Resource] = []
    for node in rolling_order(site) if site.knowledge is not None else ():
        # Members of a new cluster are made and configured at the same time: none is whole without
        # others. Of those that serve neither VM nor configuration is touched before the one
        # before is whole again, and none after one that is not.
        turn = member_steps[-1:] if store.converged(node.name) else []
        before = [*registry_steps, *turn]
        vms[node.name] = make(node, before)
        member_steps.append(
            Convergence(
                site,
                vms[node.name],
                converger.fingerprint(node),
                hooks=hooks,
                depends_on=before,
            )
        )
    for node in nodes(site):
        if (wanted := override_of(placement[node.name])) is not None:
            Overrides(vms[node.name], wanted, foundation=foundation, hooks=hooks)
    _keep_in_domains(loaded, placement, vms, foundation, hooks)
    for endpoint in sorted(site.inference):
        members = [vms[node.name] for node in replicas(site, endpoint)]
        AntiAffinity(site, endpoint, members, foundation=foundation, hooks=hooks)
    # DRS may move edges: never both to one host, which would take the clients' address with it.
    members = [vms[node.name] for node in edges(site)]
    AntiAffinity(site, Tier.EDGE, members, foundation=foundation, hooks=hooks)
    member_vms = [vms[node.name] for node in members_of(site)]
    if member_vms:
        AntiAffinity(site, Tier.KNOWLEDGE, member_vms, foundation=foundation, hooks=hooks)
    for endpoint in sorted(site.inference):
        for node in replicas(site, endpoint):
            Convergence(
                site,
                vms[node.name],
                converger.fingerprint(node),
                hooks=hooks,
                # A replica is admitted when the edges see it: they are configured first. What it
                # pulls comes from the registry.
                depends_on=[*registry_steps, *edge_steps],
            )
    if member_steps:
        ClusterConvergence(
            site,
            cluster_fingerprint(loaded),
            hooks=hooks,
            depends_on=[*member_steps, *edge_steps],
        )
    pulumi.export("nodes", {name: vm.address for name, vm in vms.items()})


def _keep_in_domains(
    loaded: LoadedSite,
    placement: Placement,
    vms: Mapping[str, NodeVm],
    foundation: Foundation,
    hooks: SiteHooks,
) -> None:
    """Declare the rules of racks and rooms; their hosts are those that vCenter shows now."""
    site = loaded.site
    if site.failure_domains.level is FailureDomainLevel.HOST:
        return
    hosts = {h.name: h.moid for h in open_context(loaded.path).hypervisor.observe().hosts}
    rules = domain_rules(site, placement, hosts)
    DomainRules(site.site, rules, vms, hosts, foundation=foundation, hooks=hooks)


def _site_of_environment() -> LoadedSite:
    path = os.environ.get("PERMAFROST_SITE")
    if not path:
        raise Refused(
            Problem(
                "SITE_NOT_NAMED",
                "the environment names no site file",
                path="PERMAFROST_SITE",
                hint='run `eval "$(permafrost env)"` first',
            )
        )
    loaded = load_site(Path(path))
    wanted, given = loaded.site.vcenter.server, os.environ.get("VSPHERE_SERVER")
    if given != wanted:
        raise Refused(
            Problem(
                "VCENTER_MISMATCH",
                f"the site's vCenter is {wanted}, the environment says {given or 'nothing'}",
                path="vcenter.server",
                hint='run `eval "$(permafrost env)"` again',
            )
        )
    return loaded
