"""Which host and which GPUs each node gets.

Invariants of every placement that is returned:

- replicas of one endpoint stand on distinct failure domains (hosts);
- a device has one node; it is of the kind that the endpoint asks for, and no VM outside the
  site holds it;
- something new is put only on hosts that are connected and not in maintenance;
- as few recorded nodes as possible change their host. A recorded slot outlives the absence of
  its host (maintenance, lost connection): a deployment during maintenance moves nothing.

The result is a function of its arguments alone. Where every endpoint of one GPU kind asks for
the same count, a placement is found whenever one exists (augmenting paths over the graph
endpoint - host, cheapest first, which also makes the number of moves minimal). With mixed
counts larger demands go first, and a full rack may be refused although a cleverer packing exists.

Every node has a slot, edges too; ``gpus`` is empty for a node without a passed-through device.
Such a node may be moved by vCenter at any time: its host is where it starts, not a pin.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from permafrost.errors import Problem, Refused
from permafrost.planning.matching import Demand, assign_hosts
from permafrost.planning.snapshot import GpuFacts, HostFacts
from permafrost.site.model import GpuMode, Site
from permafrost.topology import Node, edges, replicas

__all__ = ["GpuFacts", "HostFacts", "Placement", "Slot", "plan_placement"]


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one node stands. ``gpus`` are PCI addresses on that host."""

    host: str
    host_moid: str
    gpus: tuple[str, ...] = ()


class Placement(Mapping[str, Slot]):
    """Node name to slot; never changes."""

    def __init__(self, slots: Mapping[str, Slot] | None = None) -> None:
        self._slots = MappingProxyType(dict(sorted((slots or {}).items())))

    def __getitem__(self, node: str) -> Slot:
        return self._slots[node]

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    def __hash__(self) -> int:
        return hash(tuple(self._slots.items()))

    def __repr__(self) -> str:
        return f"Placement({dict(self._slots)!r})"

    def as_dict(self) -> dict[str, dict[str, object]]:
        """Return plain values for JSON."""
        return {
            node: {"host": s.host, "host_moid": s.host_moid, "gpus": list(s.gpus)}
            for node, s in self._slots.items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Mapping[str, object]]) -> Placement:
        """Return the placement of what ``as_dict`` gave."""
        return cls(
            {
                node: Slot(str(v["host"]), str(v["host_moid"]), _addresses(v["gpus"]))
                for node, v in values.items()
            }
        )


def plan_placement(site: Site, hosts: Iterable[HostFacts], recorded: Placement) -> Placement:
    """Return where every node of the site stands; raise Refused, listing what is missing."""
    by_name = {h.name: h for h in sorted(hosts, key=lambda h: h.name)}
    groups = _groups(site)
    own = {node.name for nodes, _ in groups.values() for node in nodes}
    known = _remembered(recorded, by_name.values(), own)
    demands = [
        _demand(name, nodes, wanted, by_name, own, known)
        for name, (nodes, wanted) in groups.items()
    ]
    chosen = assign_hosts(demands, {h: _usable_kinds(f, own) for h, f in by_name.items()})
    problems = [
        _too_few(site, demand, by_name, own)
        for demand in demands
        if len(chosen[demand.name]) < demand.count
    ]
    if problems:
        raise Refused(*problems)
    nodes_at = {
        node: host
        for name, (nodes, _) in groups.items()
        for node, host in _name_nodes(nodes, chosen[name], known).items()
    }
    return _choose_devices(groups, nodes_at, by_name, own, known)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Devices that each node of a group needs; ``kind`` is empty when none."""

    kind: str = ""
    count: int = 0


_Groups = dict[str, tuple[tuple[Node, ...], _Wanted]]


def _groups(site: Site) -> _Groups:
    """Return the groups whose members are kept apart: each endpoint, and the edges."""
    groups: _Groups = {}
    for name in sorted(site.inference):
        gpu = site.inference[name].gpu
        passes_through = gpu.mode is GpuMode.PASSTHROUGH and gpu.vendor_device is not None
        wanted = _Wanted(gpu.vendor_device or "", gpu.count) if passes_through else _Wanted()
        groups[name] = (replicas(site, name), wanted)
    groups["edge"] = (edges(site), _Wanted())
    return groups


def _remembered(recorded: Placement, hosts: Iterable[HostFacts], own: set[str]) -> dict[str, Slot]:
    """Return the recorded slots; a node without one keeps the devices that its VM holds."""
    known = {node: slot for node, slot in recorded.items() if node in own}
    for host in hosts:
        held: dict[str, list[str]] = {}
        for gpu in host.gpus:
            held.setdefault(gpu.used_by, []).append(gpu.address)
        for node in sorted(held.keys() & own - known.keys()):
            known[node] = Slot(host.name, host.moid, tuple(held[node]))
    return known


def _demand(
    name: str,
    nodes: tuple[Node, ...],
    wanted: _Wanted,
    hosts: Mapping[str, HostFacts],
    own: set[str],
    known: Mapping[str, Slot],
) -> Demand:
    kept = frozenset(
        slot.host
        for node in nodes
        if (slot := known.get(node.name)) is not None and slot.host in hosts
    )
    allowed = frozenset(
        h
        for h, facts in hosts.items()
        if (facts.is_usable or h in kept)
        and _usable_kinds(facts, own).get(wanted.kind, 0) >= wanted.count
    )
    return Demand(name, len(nodes), wanted.kind, wanted.count, allowed, kept & allowed)


def _is_ours(gpu: GpuFacts, own: set[str]) -> bool:
    return not gpu.used_by or gpu.used_by in own


def _usable_kinds(host: HostFacts, own: set[str]) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for gpu in host.gpus:
        if _is_ours(gpu, own):
            kinds[gpu.vendor_device] = kinds.get(gpu.vendor_device, 0) + 1
    return kinds


def _name_nodes(
    nodes: tuple[Node, ...], chosen: tuple[str, ...], known: Mapping[str, Slot]
) -> dict[str, str]:
    """Give the chosen hosts to the nodes: first those that stay, then the others in order."""
    free = list(chosen)
    at: dict[str, str] = {}
    for node in nodes:
        slot = known.get(node.name)
        if slot is not None and slot.host in free:
            at[node.name] = slot.host
            free.remove(slot.host)
    for node in nodes:
        if node.name not in at:
            at[node.name] = free.pop(0)
    return at


def _choose_devices(
    groups: _Groups,
    nodes_at: Mapping[str, str],
    hosts: Mapping[str, HostFacts],
    own: set[str],
    known: Mapping[str, Slot],
) -> Placement:
    wants = {node.name: wanted for nodes, wanted in groups.values() for node in nodes}
    slots: dict[str, Slot] = {}
    taken: set[tuple[str, str]] = set()
    for stays in (True, False):
        for node, host in sorted(nodes_at.items()):
            if node in slots:
                continue
            facts = hosts[host]
            usable = sorted(
                g.address
                for g in facts.gpus
                if g.vendor_device == wants[node].kind
                and _is_ours(g, own)
                and (host, g.address) not in taken
            )
            devices: tuple[str, ...] = tuple(usable[: wants[node].count])
            if stays:
                old = known.get(node)
                fits = (
                    old is not None
                    and old.host == host
                    and len(set(old.gpus)) == wants[node].count
                    and set(old.gpus) <= set(usable)
                )
                if old is None or not fits:
                    continue
                devices = old.gpus
            taken |= {(host, address) for address in devices}
            slots[node] = Slot(host, facts.moid, devices)
    return Placement(slots)


def _too_few(site: Site, demand: Demand, hosts: Mapping[str, HostFacts], own: set[str]) -> Problem:
    """Say for each host why it cannot take a replica."""
    level = site.failure_domains.level.value
    is_edge = demand.name == "edge"
    path = "edge.nodes" if is_edge else f"inference.{demand.name}.replicas"
    usable = [h for h in hosts.values() if h.is_usable]
    code = "FAILURE_DOMAINS_TOO_FEW" if demand.count > len(usable) else "GPUS_TOO_FEW"
    reasons = [f"{h.name}: {_why_not(h, demand, own)}" for h in hosts.values()]
    listed = "; ".join(reasons) or "no host is known"
    return Problem(
        code,
        f"{demand.name} needs {demand.count} of its own {level}s"
        + (f" with {demand.units} x {demand.kind} each" if demand.kind else "")
        + f" ({listed})",
        path,
        f"free or add {level}s, or lower replicas",
    )


def _why_not(host: HostFacts, demand: Demand, own: set[str]) -> str:
    if not host.connected:
        return "not connected"
    if host.in_maintenance:
        return "in maintenance"
    if not demand.kind:
        return "usable"
    of_kind = [g for g in host.gpus if g.vendor_device == demand.kind]
    foreign = sorted({g.used_by for g in of_kind if not _is_ours(g, own)})
    free = len([g for g in of_kind if _is_ours(g, own)])
    text = f"{free} of {len(of_kind)} usable"
    return text + (f", held by {', '.join(foreign)}" if foreign else "")


def _addresses(value: object) -> tuple[str, ...]:
    return tuple(str(v) for v in value) if isinstance(value, (list, tuple)) else ()
