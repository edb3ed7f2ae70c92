"""What the engine calls around each resource operation: drain before a replica's VM is touched.

- A hook runs in this program's process, in parallel with those of other VMs. Whose turn it is
  stands in durable state, so that no more replicas of an endpoint are away than ``min_ready``
  allows. An exception leaves the VM untouched, and its message is shown.
- A hook holds no lock when it returns (what follows may never happen) and starts no ``pulumi``.
- The reboot gate speaks before each change of a VM, in previews too: the provider's own preview
  does not say which VM is power-cycled.
- The state keeps the *names* of a VM's hooks: a replica that was taken out of the site file is
  drained by the hook of that name as well.
- A destroy is told from a replacement by the order of things: in a replacement the program still
  waits for the VM's registration when the old VM is deleted; in a destroy it has its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi

from infra import vm_hooks
from permafrost.errors import PermafrostError
from permafrost.topology import Tier

if TYPE_CHECKING:
    from permafrost.topology import Node

WAITING_HOOKS = 1024
Work = Callable[[pulumi.ResourceHookArgs], None]


class HookRefusedError(Exception):
    """Carries the reason to the engine, which shows it beside the resource."""


class SiteHooks:
    """The hooks of one site, and which resource gets which."""

    def __init__(
        self, site_path: Path, node_names: frozenset[str], *, is_teardown: bool = False
    ) -> None:
        self.is_teardown = is_teardown
        self._site_path = site_path
        self._node_names = node_names
        self._answered: set[str] = set()
        self._replaced: dict[str, dict[str, Any]] = {}
        # Threads of our own: a hook that waits its turn must not starve Pulumi's calls.
        self._threads = ThreadPoolExecutor(WAITING_HOOKS, thread_name_prefix="hook")
        guard = pulumi.ResourceHook(
            "permafrost-guard",
            self._in_thread(self._guard),
            pulumi.ResourceHookOptions(on_dry_run=True),
        )
        in_previews_too = pulumi.ResourceHookOptions(on_dry_run=True, ignore_errors=True)
        gate = pulumi.ResourceHook("permafrost-gate", self._in_thread(self._gate), in_previews_too)
        leaves = pulumi.ResourceHook(
            "permafrost-gate-leaves", self._in_thread(self._leaves), in_previews_too
        )
        drain = pulumi.ResourceHook("permafrost-drain", self._in_thread(self._drain))
        forget = pulumi.ResourceHook(
            "permafrost-forget",
            self._in_thread(self._forget),
            pulumi.ResourceHookOptions(ignore_errors=True),
        )
        self.guarded = pulumi.ResourceHookBinding(before_delete=[guard])
        self._of_replica = pulumi.ResourceHookBinding(
            before_create=[gate],
            before_update=[gate, drain],
            before_delete=[leaves, guard, drain],
            after_delete=[forget],
        )
        gives_way = pulumi.ResourceHook("permafrost-give-way", self._in_thread(self._give_way))
        self._of_member = pulumi.ResourceHookBinding(
            before_create=[gate],
            before_update=[gate, gives_way],
            before_delete=[leaves, guard],
            after_delete=[forget],
        )
        self._of_edge = pulumi.ResourceHookBinding(
            before_create=[gate],
            before_update=[gate],
            before_delete=[leaves, guard],
            after_delete=[forget],
        )

    def of_vm(self, node: Node) -> pulumi.ResourceHookBinding:
        """Return the hooks of a node's VM."""
        if node.tier is Tier.KNOWLEDGE:
            return self._of_member
        return self._of_replica if node.endpoint else self._of_edge

    def watch(self, resource: pulumi.Resource) -> None:
        """Note when the engine has answered a resource's registration."""
        resource.urn.apply(self._answered.add)

    def _is_destroyed(self, args: pulumi.ResourceHookArgs) -> bool:
        return args.urn in self._answered

    def _guard(self, args: pulumi.ResourceHookArgs) -> None:
        if self._is_destroyed(args):
            vm_hooks.require_teardown(self._site_path, args.name)

    def _gate(self, args: pulumi.ResourceHookArgs) -> None:
        """Say what an update, or the second half of a replacement, does to a VM."""
        inputs = self._replaced.pop(args.urn, None)
        if args.old_inputs is None and inputs is None:
            return  # a new VM
        said = vm_hooks.verdict(
            args.name,
            inputs if inputs is not None else dict(args.old_inputs or {}),
            dict(args.old_outputs or {}),
            dict(args.new_inputs or {}),
            is_replaced=inputs is not None,
        )
        pulumi.log.info(said)

    def _leaves(self, args: pulumi.ResourceHookArgs) -> None:
        """Keep what a VM was: what follows it decides whether it is replaced."""
        if not self._is_destroyed(args):
            self._replaced[args.urn] = dict(args.old_inputs or {})

    def _drain(self, args: pulumi.ResourceHookArgs) -> None:
        if self._is_destroyed(args):
            # The guard let it through: the whole service goes, there is nobody to wait for.
            return
        vm_hooks.drain_before_change(self._site_path, args.name, _address(args))

    def _give_way(self, args: pulumi.ResourceHookArgs) -> None:
        vm_hooks.give_way_before_change(self._site_path, args.name, _address(args))

    def _forget(self, args: pulumi.ResourceHookArgs) -> None:
        is_replaced = args.name in self._node_names and not self._is_destroyed(args)
        vm_hooks.forget_vm(self._site_path, args.name, _address(args), is_replaced=is_replaced)

    def _in_thread(self, work: Work) -> Callable[[pulumi.ResourceHookArgs], Awaitable[None]]:
        async def hook(args: pulumi.ResourceHookArgs) -> None:
            loop = asyncio.get_running_loop()
            try:
                await loop.run_in_executor(self._threads, work, args)
            except PermafrostError as error:
                raise HookRefusedError(str(error)) from None

        return hook


def _address(args: pulumi.ResourceHookArgs) -> str:
    return str((args.old_outputs or {}).get("defaultIpAddress") or "")
