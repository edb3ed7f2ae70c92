"""Whatever is stopped after another, as long as it is allowed, a majority goes on running."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from permafrost.planning.invariants import quorum_problems
from permafrost.planning.live import LiveState
from permafrost.planning.snapshot import HostFacts, Inventory, VmFacts
from permafrost.site.model import Site
from permafrost.topology import Tier, nodes
from tests.golden.ansible.rendering import golden_site

MOST = 7


@cache
def site_of(count: int) -> Site:
    values = golden_site("bergen").model_dump(mode="json", by_alias=True)
    values["knowledge"]["milvus"] |= {"nodes": count}
    return Site.model_validate(values)


def seen(names: list[str], off: frozenset[str], lost: frozenset[str]) -> LiveState:
    """Each member stands on a host of its own."""
    hosts = tuple(HostFacts(f"on-{n}", f"h-{n}", n not in lost, False) for n in names)
    vms = tuple(
        VmFacts(n, f"vm-{n}", f"u-{n}", f"on-{n}", n not in off, is_connected=n not in lost)
        for n in names
    )
    return LiveState(Inventory(hosts=hosts, vms=vms))


tries = st.lists(st.frozensets(st.integers(0, MOST - 1), min_size=1, max_size=3), max_size=8)
some = st.frozensets(st.integers(0, MOST - 1), max_size=3)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([3, 5, 7]), some, some, tries)
def test_no_stop_that_is_allowed_takes_the_majority(
    count: int, off: frozenset[int], lost: frozenset[int], stops: list[frozenset[int]]
) -> None:
    site = site_of(count)
    names = [n.name for n in nodes(site) if n.tier is Tier.KNOWLEDGE]
    assert len(names) == count
    gone = {names[i] for i in off if i < count}
    dead = {names[i] for i in lost if i < count}
    for stop in stops:
        wanted = {names[i] for i in stop if i < count}
        live = seen(names, frozenset(gone), frozenset(dead))
        running = set(names) - gone - dead
        allowed = not quorum_problems(site, live, wanted)
        left = len(running - wanted)
        if allowed and wanted & running:
            assert left > count // 2
            gone |= wanted
        if not allowed:
            assert left <= count // 2, "what keeps the majority is not refused"


def test_control_and_the_words_of_a_refusal() -> None:
    site = site_of(3)
    names = [n.name for n in nodes(site) if n.tier is Tier.KNOWLEDGE]
    live = seen(names, frozenset(), frozenset())
    assert quorum_problems(site, live, names[:1]) == ()
    one_off = seen(names, frozenset(names[2:]), frozenset())
    (problem,) = quorum_problems(site, one_off, names[:1])
    assert problem.code == "QUORUM_LOST"
    assert f"{names[2]} does not run already" in problem.message
    assert quorum_problems(site, one_off, names[2:]) == (), "what is off takes nothing away"
    blind = replace(live, blind=(problem,))
    assert quorum_problems(site, blind, names[:1]) == ()
