"""Which host and which GPUs each node gets.

Invariants of every placement that is returned:

- members of one group (an endpoint's replicas, the edges, the knowledge members) stand on hosts
  of their own, and no more of them in one failure domain (host, rack, room) than the site allows;
- a device has one node; it is of the kind that the endpoint asks for, and no VM outside the
  site holds it;
- something new is put only on hosts that are connected, not in maintenance, of a known failure
  domain, and that have memory and CPUs left for it;
- as few recorded nodes as possible change their host. A recorded slot outlives the absence of
  its host (maintenance, lost connection): a deployment during maintenance moves nothing;
- it is found whenever one exists; otherwise the refusal says what is missing, and the nearest
  that is possible.

The result is a function of its arguments alone, whatever their order.

Every node has a slot, edges too; ``gpus`` is empty for a node without a passed-through device.
Such a node may be moved by vCenter at any time: its host is where it starts, not a pin. A vGPU
has no address either: vCenter picks the physical device.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from permafrost.errors import Refused
from permafrost.planning.demand import Demand, Room, devices_for, rooms_of, wanted_devices
from permafrost.planning.search import assign_hosts
from permafrost.planning.shortage import shortages
from permafrost.planning.slots import Placement, Slot
from permafrost.planning.snapshot import GpuFacts, HostFacts, VmFacts
from permafrost.site.model import Site
from permafrost.topology import Group, groups, names_by_group

__all__ = ["GpuFacts", "HostFacts", "Placement", "Slot", "plan_placement"]

_Standing = tuple[str, str, int]
"""A node on a host, the kind of its devices and their number."""


def plan_placement(
    site: Site,
    hosts: Iterable[HostFacts],
    recorded: Placement,
    vms: Iterable[VmFacts] = (),
) -> Placement:
    """Return where every node of the site stands; raise Refused, listing what is missing.

    ``vms`` are all VMs of the cluster: what those of others have reserved is not given away.
    """
    by_name = {h.name: h for h in sorted(hosts, key=lambda h: h.name)}
    members = names_by_group(site)
    own = {node for some in members.values() for node in some}
    known = _remembered(recorded, by_name.values(), own)
    rooms = rooms_of(site, by_name.values(), vms, own)
    demands = [
        _demand(site, group, members[group.name], by_name, rooms, known) for group in groups(site)
    ]
    chosen = assign_hosts(demands, rooms)
    if any(len(chosen[d.name]) < d.count for d in demands):
        raise Refused(*shortages(site, demands, chosen, by_name, rooms, own))
    here: dict[str, list[_Standing]] = {}
    for demand in demands:
        some = members[demand.name]
        for node, host in _name_nodes(some, chosen[demand.name], known).items():
            here.setdefault(host, []).append((node, demand.kind, demand.units))
    slots: dict[str, Slot] = {}
    for host, standing in here.items():
        slots |= _choose_devices(by_name[host], sorted(standing), own, known)
    return Placement(slots)


def _remembered(recorded: Placement, hosts: Iterable[HostFacts], own: set[str]) -> dict[str, Slot]:
    """Return the recorded slots; a node without one keeps the devices that its VM holds."""
    known = {node: slot for node, slot in recorded.items() if node in own}
    for host in hosts:
        held: dict[str, list[str]] = {}
        for gpu in host.gpus:
            if gpu.used_by in own and gpu.used_by not in known:
                held.setdefault(gpu.used_by, []).append(gpu.address)
        known |= {node: Slot(host.name, host.moid, tuple(held[node])) for node in held}
    return known


def _demand(
    site: Site,
    group: Group,
    nodes: tuple[str, ...],
    hosts: Mapping[str, HostFacts],
    rooms: Mapping[str, Room],
    known: Mapping[str, Slot],
) -> Demand:
    kind, units = wanted_devices(site, group)
    kept = {
        slot.host for node in nodes if (slot := known.get(node)) is not None and slot.host in rooms
    }
    allowed = frozenset(
        name
        for name, room in rooms.items()
        if room.devices.get(kind, 0) >= units and (hosts[name].is_usable or name in kept)
    )
    return Demand(
        name=group.name,
        count=group.count,
        kind=kind,
        units=units,
        allowed=allowed,
        kept=allowed & kept,
        memory_mib=group.vm.memory_mib,
        cpus=group.vm.cpus,
        per_domain=site.failure_domains.members_per_domain,
    )


def _name_nodes(
    nodes: tuple[str, ...], chosen: tuple[str, ...], known: Mapping[str, Slot]
) -> dict[str, str]:
    """Give the chosen hosts to the nodes: first those that stay, then the others in order."""
    free = dict.fromkeys(chosen)
    at: dict[str, str] = {}
    for node in nodes:
        slot = known.get(node)
        if slot is not None and slot.host in free:
            at[node] = slot.host
            del free[slot.host]
    left = iter(free)
    for node in nodes:
        if node not in at:
            at[node] = next(left)
    return at


def _choose_devices(
    host: HostFacts, standing: list[_Standing], own: set[str], known: Mapping[str, Slot]
) -> dict[str, Slot]:
    """Give the nodes of one host their devices: first those that keep theirs, then the others.

    A vGPU has no address: vCenter picks the device.
    """
    free = devices_for(host, own)
    slots: dict[str, Slot] = {}
    for node, kind, units in standing:
        old = known.get(node)
        usable = free.get(kind, [])
        if old is None or old.host != host.name or len(old.gpus) != min(units, len(usable)):
            continue
        if len(set(old.gpus)) == len(old.gpus) and set(old.gpus) <= set(usable):
            slots[node] = Slot(host.name, host.moid, old.gpus)
            free[kind] = [address for address in usable if address not in old.gpus]
    for node, kind, units in standing:
        if node not in slots:
            usable = free.get(kind, [])
            slots[node] = Slot(host.name, host.moid, tuple(usable[:units]))
            free[kind] = usable[units:]
    return slots
