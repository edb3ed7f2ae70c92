"""What happens around a change of a VM: whose turn it is, the drain, and what is forgotten.

Each function opens the site anew: hooks of several VMs run at once, in threads of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from permafrost.adapters.node_agent import NodeAgent
from permafrost.adapters.ssh import SshShell
from permafrost.errors import Problem, Refused
from permafrost.planning.reboot import Effect, changed_properties, verdict_of
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.member_turn import give_way
from permafrost.runbook.turns import await_turn
from permafrost.topology import Node, Tier, nodes
from permafrost.wiring import open_context

if TYPE_CHECKING:
    from permafrost.site.load import LoadedSite

OWNER = "pulumi"
REASON = "its VM is changed"
DESTROY = "destroy"


def drain_before_change(site_path: Path, name: str, address: str) -> None:
    """Wait for this replica's turn, then drain it; raise, and the VM stays as it is."""
    context = open_context(site_path)
    context.guard()
    replica = node_named(context.loaded, name, address)
    if replica not in nodes(context.site):
        # The site file no longer names it, so the context does not know where it is.
        context.models = NodeAgent(SshShell(context.loaded.state_dir, {name: address}))
    await_turn(context, replica, OWNER, reason=REASON)
    drain_replica(context, replica, owner=OWNER, reason=REASON)


def give_way_before_change(site_path: Path, name: str, address: str) -> None:
    """Have a knowledge member give away what it has; raise, and its VM stays as it is."""
    context = open_context(site_path)
    context.guard()
    member = node_named(context.loaded, name, address)
    if member in nodes(context.site):
        give_way(context, member, owner=OWNER)


def verdict(
    name: str,
    old_inputs: Mapping[str, Any],
    old_outputs: Mapping[str, Any],
    new_inputs: Mapping[str, Any],
    *,
    is_replaced: bool = False,
) -> str:
    """Return what the reboot gate says of a change of a VM.

    The engine hands a hook no detailed difference: it is worked out from the inputs.
    """
    changed = changed_properties(old_inputs, new_inputs)
    found = verdict_of(
        changed,
        {**old_outputs, **old_inputs},
        new_inputs,
        is_on=old_outputs.get("powerState", "on") == "on",
    )
    if is_replaced and found.effect is not Effect.REPLACED:
        return f"{name}: {Effect.REPLACED.value}"
    if not changed:
        return f"{name}: changed outside; `permafrost plan` says what mending that does to it"
    return f"{name}: {found}"


def require_teardown(site_path: Path, name: str) -> None:
    """Raise Refused unless `permafrost destroy` holds the site and started this run."""
    context = open_context(site_path)
    holder = context.store.lock.holder()
    if holder is not None and holder.owner == DESTROY and context.lock_token is not None:
        context.guard()
        return
    raise Refused(
        Problem(
            "DESTROY_NOT_AUTHORISED",
            "a plain `pulumi destroy` would take the whole service away; nothing was removed",
            path=name,
            hint="`permafrost destroy` shows what goes, asks, and then removes it",
        )
    )


def is_teardown(site_path: Path) -> bool:
    """Whether `permafrost destroy` holds the site and started this run."""
    context = open_context(site_path)
    holder = context.store.lock.holder()
    return holder is not None and holder.owner == DESTROY and context.lock_token is not None


def forget_vm(site_path: Path, name: str, address: str, *, is_replaced: bool) -> None:
    """Forget the host key of a VM that is gone; of a node that is gone, all the rest as well."""
    context = open_context(site_path)
    SshShell(context.loaded.state_dir, {name: address}).forget(name)
    if not is_replaced:
        context.store.forget(name)


def forget_host_key(loaded: LoadedSite, name: str) -> None:
    """Forget the key that is known under a node's name, before its new VM is first spoken to."""
    addresses = {node.name: str(node.address) for node in nodes(loaded.site)}
    SshShell(loaded.state_dir, addresses).forget(name)


def node_named(loaded: LoadedSite, name: str, address: str) -> Node:
    """Return a node of the site, or what it was where the site file no longer names it."""
    for node in nodes(loaded.site):
        if node.name == name:
            return node
    endpoint = name.removeprefix(f"{loaded.site.site}-").rpartition("-")[0]
    if endpoint in (Tier.EDGE, Tier.KNOWLEDGE, Tier.REGISTRY):
        return Node(name, Tier(endpoint), IPv4Address(address or "0.0.0.0"))
    return Node(name, Tier.INFERENCE, IPv4Address(address or "0.0.0.0"), endpoint)
