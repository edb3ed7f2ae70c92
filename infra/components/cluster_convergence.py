"""Declares what the knowledge tier is told as a whole, once its members are configured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pulumi
from pulumi.dynamic import Resource

from infra.cluster_convergence import ClusterConvergenceProvider
from permafrost.topology import Tier

if TYPE_CHECKING:
    from infra.components.hooks import SiteHooks
    from permafrost.site.model import Site


class ClusterConvergence(Resource, module="permafrost", name="ClusterConvergence"):
    """Users, roles, grants and the canaries of the cluster; and that it answers right."""

    cluster: pulumi.Output[str]

    def __init__(
        self,
        site: Site,
        fingerprint: str,
        *,
        hooks: SiteHooks,
        depends_on: Sequence[pulumi.Resource],
    ) -> None:
        name = f"{site.site}-{Tier.KNOWLEDGE}"
        super().__init__(
            ClusterConvergenceProvider(),
            name,
            {"cluster": name, "fingerprint": fingerprint},
            pulumi.ResourceOptions(depends_on=depends_on, hooks=hooks.guarded),
        )
        hooks.watch(self)
