"""Declares the convergence of a node behind its VM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pulumi
from pulumi.dynamic import Resource

from infra.convergence import ConvergenceProvider
from permafrost.topology import endpoint_of

if TYPE_CHECKING:
    from infra.components.hooks import SiteHooks
    from infra.components.node_vm import NodeVm
    from permafrost.site.model import Site


class Convergence(Resource, module="permafrost", name="Convergence"):
    """A node that is configured, and admitted where it serves a model."""

    node: pulumi.Output[str]

    def __init__(
        self,
        site: Site,
        machine: NodeVm,
        fingerprint: str,
        *,
        hooks: SiteHooks,
        depends_on: Sequence[pulumi.Resource] = (),
    ) -> None:
        node = machine.node
        endpoint = endpoint_of(site, node) if node.endpoint else None
        super().__init__(
            ConvergenceProvider(),
            node.name,
            {
                "node": node.name,
                "vm": machine.vm.uuid,
                "vm_fingerprint": machine.fingerprint,
                "convergence": fingerprint,
                "checkpoint": endpoint.model.partition("@")[2] if endpoint else "",
                "image": endpoint.image.partition("@")[2] if endpoint else "",
            },
            pulumi.ResourceOptions(
                parent=machine, depends_on=[machine.vm, *depends_on], hooks=hooks.guarded
            ),
        )
        hooks.watch(self)
