"""Declares that the registry's VM holds what the site pins, before anything pulls it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pulumi
from pulumi.dynamic import Resource

from infra.registry_contents import RegistryContentsProvider

if TYPE_CHECKING:
    from infra.components.hooks import SiteHooks
    from infra.components.node_vm import NodeVm


class RegistryContents(Resource, module="permafrost", name="RegistryContents"):
    """What the site pins, looked up in its registry; made only when all of it is there."""

    registry: pulumi.Output[str]

    def __init__(
        self,
        machine: NodeVm,
        fingerprint: str,
        *,
        hooks: SiteHooks,
        depends_on: Sequence[pulumi.Resource],
    ) -> None:
        name = f"{machine.node.name}-contents"
        super().__init__(
            RegistryContentsProvider(),
            name,
            # Another VM has another disk, or an empty one: it is looked up again.
            {"registry": name, "vm": machine.vm.uuid, "fingerprint": fingerprint},
            pulumi.ResourceOptions(
                parent=machine, depends_on=[machine.vm, *depends_on], hooks=hooks.guarded
            ),
        )
        hooks.watch(self)
