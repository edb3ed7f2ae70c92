"""Why a site cannot be placed: what is missing, host by host, and the nearest that is possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from permafrost.errors import Problem
from permafrost.planning.demand import VGPU, Chosen, Demand, Room, is_ours
from permafrost.planning.snapshot import HostFacts
from permafrost.planning.vgpu import missing_profile
from permafrost.site.model import Site
from permafrost.topology import groups

LISTED_HOSTS = 12
"""Hosts that are named one by one; more are counted by reason, with examples."""
EXAMPLES = 3


def shortages(
    site: Site,
    demands: Sequence[Demand],
    chosen: Chosen,
    hosts: Mapping[str, HostFacts],
    rooms: Mapping[str, Room],
    own: set[str],
) -> list[Problem]:
    """Return a problem for each group that does not get its number of hosts.

    ``chosen`` is the nearest possible: as many members as can be placed at once.
    """
    paths = {g.name: g.count_path for g in groups(site)}
    nearest = ", ".join(f"{d.name} {len(chosen[d.name])} of {d.count}" for d in demands)
    return [
        _problem(site, d, len(chosen[d.name]), paths[d.name], nearest, hosts, rooms, own)
        for d in demands
        if len(chosen[d.name]) < d.count
    ]


def _problem(
    site: Site,
    demand: Demand,
    found: int,
    path: str,
    nearest: str,
    hosts: Mapping[str, HostFacts],
    rooms: Mapping[str, Room],
    own: set[str],
) -> Problem:
    level = site.failure_domains.level.value
    per_domain = demand.per_domain
    missing = demand.count - found
    devices = f"{demand.units} x {_kind(demand)} each" if demand.units else ""
    needs = f"{demand.count} {level}s of its own" if per_domain == 1 else f"{demand.count} hosts"
    if per_domain > 1:
        needs += f", at most {per_domain} in a {level},"
    text = f"{demand.name} needs {needs}" + (f" with {devices}" if devices else "")
    text += f"; {missing} missing ({_listed(demand, hosts, rooms, own) or 'no host is known'})"
    what = f"{missing} {level}{'s' if missing > 1 else ''}"
    what += f" with {devices}" if devices else ""
    code = _code(demand, hosts, rooms)
    hint = f"free or add {what}"
    own_nearest = f"set {path.rpartition('.')[2]} to {found}" if found else "leave it out"
    if code == "VGPU_PROFILE_MISSING":
        path = f"{path.rpartition('.')[0]}.gpu.profile"
        hint = f"name a profile that hosts offer, or {hint}"
    return Problem(
        code,
        text,
        path,
        f"{hint}, or {own_nearest}; the nearest possible: {nearest}",
    )


def _code(demand: Demand, hosts: Mapping[str, HostFacts], rooms: Mapping[str, Room]) -> str:
    """Return what is short: domains at all, devices in them, or memory and CPUs beside those."""
    usable = [n for n in rooms if hosts[n].is_usable or n in demand.kept]
    with_devices = [n for n in usable if n in demand.allowed]
    with_room = [n for n in with_devices if n in demand.kept or _has_size(demand, rooms[n])]
    if _places(demand, usable, rooms) < demand.count:
        return "FAILURE_DOMAINS_TOO_FEW"
    if demand.units and _places(demand, with_devices, rooms) < demand.count:
        return "VGPU_PROFILE_MISSING" if _is_unknown(demand, hosts) else "GPUS_TOO_FEW"
    if _places(demand, with_room, rooms) < demand.count:
        return "HOSTS_TOO_SMALL"
    # Each alone would fit: it is together with the other groups that they do not.
    return "GPUS_TOO_FEW" if demand.units else "HOSTS_TOO_SMALL"


def _is_unknown(demand: Demand, hosts: Mapping[str, HostFacts]) -> bool:
    """Whether no host at all offers the vGPU profile: misspelt, or of other software."""
    return demand.kind.startswith(VGPU) and all(
        missing_profile(_kind(demand), host) for host in hosts.values()
    )


def _places(demand: Demand, names: Sequence[str], rooms: Mapping[str, Room]) -> int:
    """Return how many members failure domains let stand on these hosts."""
    in_domain: dict[str, int] = {}
    for name in names:
        domain = rooms[name].domain
        in_domain[domain] = in_domain.get(domain, 0) + 1
    return sum(min(count, demand.per_domain) for count in in_domain.values())


def _has_size(demand: Demand, room: Room) -> bool:
    return demand.memory_mib <= room.memory_mib and demand.cpus <= room.cpus


def _listed(
    demand: Demand, hosts: Mapping[str, HostFacts], rooms: Mapping[str, Room], own: set[str]
) -> str:
    reasons = {h.name: _reason(h, demand, rooms.get(h.name), own) for h in hosts.values()}
    if len(reasons) <= LISTED_HOSTS:
        return "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    by_reason: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        by_reason.setdefault(reason, []).append(name)
    ordered = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    texts = [
        f"{len(names)} hosts: {reason} ({', '.join(names[:EXAMPLES])}"
        + (", …)" if len(names) > EXAMPLES else ")")
        for reason, names in ordered[:LISTED_HOSTS]
    ]
    rest = sum(len(names) for _, names in ordered[LISTED_HOSTS:])
    return "; ".join(texts) + (f"; {rest} more hosts" if rest else "")


def _reason(host: HostFacts, demand: Demand, room: Room | None, own: set[str]) -> str:
    if not host.connected:
        return "not connected"
    if host.in_maintenance:
        return "in maintenance"
    if room is None:
        return "no label says in which failure domain it is"
    if demand.units and (text := _devices(host, demand, room, own)):
        return text
    if demand.memory_mib > room.memory_mib:
        return f"{max(room.memory_mib, 0)} of {demand.memory_mib} MiB to give"
    if demand.cpus > room.cpus:
        return f"{room.cpus} of {demand.cpus} CPUs to give"
    return "usable"


def _devices(host: HostFacts, demand: Demand, room: Room, own: set[str]) -> str:
    free = room.devices.get(demand.kind, 0)
    if demand.kind.startswith(VGPU):
        return "" if free >= demand.units else _vgpus(host, demand, free, own)
    of_kind = [g for g in host.gpus if g.vendor_device == demand.kind]
    foreign = sorted({g.used_by for g in of_kind if not is_ours(g, own)})
    if free >= demand.units and _has_size(demand, room):
        return f"{free} of {len(of_kind)} usable"
    if free >= demand.units:
        return ""
    return f"{free} of {len(of_kind)} usable" + (
        f", held by {', '.join(foreign)}" if foreign else ""
    )


def _vgpus(host: HostFacts, demand: Demand, free: int, own: set[str]) -> str:
    if missing := missing_profile(_kind(demand), host):
        return missing
    others = sorted({name for card in host.cards for name, _ in card.users} - own)
    return f"room for {free} x {_kind(demand)}" + (
        f", its cards used by {', '.join(others)}" if others else ""
    )


def _kind(demand: Demand) -> str:
    return demand.kind.removeprefix(VGPU)
