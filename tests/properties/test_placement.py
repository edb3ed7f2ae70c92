"""Placement against brute force on small sites: found whenever one exists, with fewest moves."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from permafrost.errors import Refused
from permafrost.planning.placement import GpuFacts, HostFacts, Placement, Slot, plan_placement
from permafrost.site.model import Site
from permafrost.topology import nodes, replicas
from tests.fakes.site import small_site

KINDS = ("10de:2330", "10de:2331")
FOREIGN = "somebody-elses-vm"


@st.composite
def sites(draw: st.DrawFn) -> Site:
    """Two endpoints of one to three replicas; each kind is asked for in one count."""
    counts = {kind: draw(st.integers(1, 2)) for kind in KINDS}
    endpoints = {}
    for name in ("chat", "pulse"):
        kind = draw(st.sampled_from(KINDS))
        size = draw(st.integers(1, 3))
        gpu = {"mode": "passthrough", "vendor_device": kind, "count": counts[kind]}
        endpoints[name] = {
            "replicas": size,
            "min_ready": max(1, size - 1),
            "gpu": draw(st.sampled_from([gpu, gpu, {"mode": "none"}])),
        }
    return small_site(**endpoints)


@st.composite
def host_lists(draw: st.DrawFn) -> tuple[HostFacts, ...]:
    found = []
    for i in range(draw(st.integers(1, 4))):
        gpus = tuple(
            GpuFacts(
                f"0000:{j:02x}:00.0",
                draw(st.sampled_from(KINDS)),
                draw(st.sampled_from(["", "", "", FOREIGN])),
            )
            for j in range(draw(st.integers(0, 3)))
        )
        connected = draw(st.sampled_from([True, True, True, False]))
        maintenance = draw(st.sampled_from([False, False, False, True]))
        found.append(HostFacts(f"h{i}", f"m{i}", connected, maintenance, gpus))
    return tuple(found)


@st.composite
def records(draw: st.DrawFn, site: Site, hosts: tuple[HostFacts, ...]) -> Placement:
    """What was recorded once: some hosts may be gone since, or have other devices."""
    names = [h.name for h in hosts] + ["gone"]
    slots: dict[str, Slot] = {}
    for endpoint in site.inference:
        order = draw(st.permutations(names))
        for node, host in zip(replicas(site, endpoint), order, strict=False):
            if draw(st.booleans()):
                slots[node.name] = Slot(host, "m", ("0000:00:00.0",))
    return Placement(slots)


def demand(site: Site, endpoint: str) -> tuple[str, int]:
    gpu = site.inference[endpoint].gpu
    return (gpu.vendor_device or "", gpu.count if gpu.vendor_device else 0)


def usable(host: HostFacts, kind: str) -> int:
    return sum(g.vendor_device == kind and not g.used_by for g in host.gpus)


def recorded_hosts(site: Site, record: Placement, endpoint: str) -> set[str]:
    return {record[n.name].host for n in replicas(site, endpoint) if n.name in record}


def every_choice(
    site: Site, hosts: tuple[HostFacts, ...], record: Placement
) -> Iterator[dict[str, frozenset[str]]]:
    """Every way to give each endpoint its distinct hosts within the devices."""
    options = []
    for endpoint in sorted(site.inference):
        kind, units = demand(site, endpoint)
        old = recorded_hosts(site, record, endpoint)
        allowed = [
            h.name for h in hosts if (h.is_usable or h.name in old) and usable(h, kind) >= units
        ]
        size = site.inference[endpoint].replicas
        options.append([frozenset(c) for c in combinations(allowed, size)])
    for choice in product(*options):
        chosen = dict(zip(sorted(site.inference), choice, strict=True))
        if all(fits(site, host, chosen) for host in hosts):
            yield chosen


def fits(site: Site, host: HostFacts, chosen: dict[str, frozenset[str]]) -> bool:
    for kind in KINDS:
        taken = sum(
            demand(site, e)[1]
            for e, names in chosen.items()
            if host.name in names and demand(site, e)[0] == kind
        )
        if taken > usable(host, kind):
            return False
    return True


def kept(site: Site, record: Placement, chosen: dict[str, frozenset[str]]) -> int:
    return sum(len(recorded_hosts(site, record, e) & names) for e, names in chosen.items())


@pytest.mark.thorough
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_found_when_possible_with_fewest_moves(data: st.DataObject) -> None:
    site = data.draw(sites())
    hosts = data.draw(host_lists())
    record = data.draw(records(site, hosts))
    possible = list(every_choice(site, hosts, record))
    some_host_for_the_edge = any(h.is_usable for h in hosts)
    try:
        found = plan_placement(site, hosts, record)
    except Refused:
        assert not possible or not some_host_for_the_edge
        return
    assert possible
    assert set(found) == {n.name for n in nodes(site)}
    check_invariants(site, hosts, record, found)
    chosen = {
        e: frozenset(found[n.name].host for n in replicas(site, e)) for e in sorted(site.inference)
    }
    assert kept(site, record, chosen) == max(kept(site, record, c) for c in possible)
    assert plan_placement(site, reversed(hosts), record) == found, "order of hosts is no matter"
    assert plan_placement(site, hosts, found) == found, "what is recorded stays"


def check_invariants(
    site: Site, hosts: tuple[HostFacts, ...], record: Placement, found: Placement
) -> None:
    by_name = {h.name: h for h in hosts}
    taken: set[tuple[str, str]] = set()
    for endpoint in site.inference:
        kind, units = demand(site, endpoint)
        slots = [found[n.name] for n in replicas(site, endpoint)]
        assert len({s.host for s in slots}) == len(slots), "own failure domains"
        old = recorded_hosts(site, record, endpoint)
        for slot in slots:
            host = by_name[slot.host]
            assert host.is_usable or slot.host in old
            assert slot.host_moid == host.moid
            assert len(slot.gpus) == len(set(slot.gpus)) == units
            for address in slot.gpus:
                gpu = next(g for g in host.gpus if g.address == address)
                assert (gpu.vendor_device, gpu.used_by) == (kind, "")
                assert (slot.host, address) not in taken, "a device has one node"
                taken.add((slot.host, address))
