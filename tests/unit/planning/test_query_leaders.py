"""Which query node begins anew to spread leaders: by example, and for any tier."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from permafrost.facts import MemberState, ProxyLeaders
from permafrost.planning.knowledge import members
from permafrost.planning.query_leaders import (
    alone,
    exposed,
    is_unsettled,
    led_on_one_member,
    node_to_spread,
    noted_leaders,
)
from permafrost.planning.query_replicas import QueryNode
from tests.fakes.query_tier import QueryTier
from tests.unit.runbook.test_members import site_with_knowledge

NODES = {
    1: QueryNode("two", "query-1"),
    2: QueryNode("two", "query-2"),
    3: QueryNode("three", "query-1"),
    4: QueryNode("three", "query-2"),
}
MIXED = {"c": [frozenset({1, 3}), frozenset({2, 4})]}


def test_leaders_that_all_stand_on_one_member_are_spread_by_one_restart() -> None:
    leaders = {"c": {"v0": [1, 2], "v1": [1, 2]}}
    assert alone(leaders, NODES) == {("c", "v0"): "two", ("c", "v1"): "two"}
    assert node_to_spread(leaders, MIXED, NODES) == 1


def test_leaders_stay_where_whichever_loss_leaves_a_replica_all_of_its_own() -> None:
    assert node_to_spread({"c": {"v0": [1, 4], "v1": [1, 4]}}, MIXED, NODES) is None


def test_a_loss_that_takes_a_leader_of_each_replica_is_spread_too() -> None:
    """Each channel is led on two members, and neither replica on one alone."""
    leaders = {"c": {"v0": [1, 4], "v1": [2, 3]}}
    assert alone(leaders, NODES) == {}
    assert exposed(leaders, MIXED, NODES) == {("c", "two"), ("c", "three")}
    assert node_to_spread(leaders, MIXED, NODES) == 3


def test_one_that_would_leave_others_alone_is_not_chosen() -> None:
    """Node 1 leads v1 of the other collection, whose other leader is on three already."""
    replicas = {**MIXED, "d": [frozenset({1, 3}), frozenset({2, 4})]}
    leaders = {"c": {"v0": [1, 2]}, "d": {"v0": [1, 4], "v1": [1, 4]}}
    assert node_to_spread(leaders, replicas, NODES) == 2


def test_a_replica_that_has_no_other_node_keeps_its_leader() -> None:
    replicas = {"c": [frozenset({1}), frozenset({2})]}
    assert node_to_spread({"c": {"v0": [1, 2]}}, replicas, NODES) is None


def test_where_all_query_nodes_stand_on_one_member_nothing_is_alone() -> None:
    nodes = {n: NODES[n] for n in (1, 2)}
    assert alone({"c": {"v0": [1, 2]}}, nodes) == {}


def test_a_single_replica_is_led_by_one_and_that_is_no_matter() -> None:
    assert alone({"c": {"v0": [1]}}, NODES) == {}


@st.composite
def tiers(draw: st.DrawFn) -> tuple[QueryTier, list[QueryNode]]:
    """Two members or three with query nodes; some have gone and come back since."""
    homes = draw(st.integers(2, 3))
    nodes = [
        QueryNode(f"m{m}", f"q{u}") for m in range(homes) for u in range(draw(st.integers(1, 3)))
    ]
    tier = QueryTier()
    tier.has = {c: [set(), set()] for c in draw(st.sampled_from(["c", "cd", "cde"]))}
    tier.see(draw(st.permutations(nodes)))
    tier.leaders()
    for gone in draw(st.lists(st.sampled_from(range(homes)), max_size=4)):
        stay = [n for n in nodes if n.member != f"m{gone}"]
        tier.see(stay)
        tier.leaders()
        tier.see([*stay, *(n for n in nodes if n not in stay)])
        tier.leaders()
    return tier, nodes


def is_as_assumed(tier: QueryTier, node: QueryNode) -> bool:
    """Whether it is no lot who leads after a node: its replicas have one other node each."""
    number = tier.numbers[node]
    return all(len(r) == 2 for of in tier.has.values() for r in of if number in r)


@given(tiers())
def test_restarts_end_and_leave_fewer_alone(made: tuple[QueryTier, list[QueryNode]]) -> None:
    """Each time: nearer to the fewest, where Milvus has no choice but what is assumed."""
    tier, nodes = made
    was_assumed, first = True, None
    for _ in range(3 * len(nodes)):
        running = {number: node for node, number in tier.numbers.items()}
        replicas = {c: [frozenset(r) for r in of] for c, of in tier.has.items()}
        leaders = tier.leaders()
        chosen = node_to_spread(leaders, replicas, running)
        before = len(exposed(leaders, replicas, running))
        first = before if first is None else first
        if chosen is None:
            assert before <= first or not was_assumed
            return
        assert before
        was_assumed = was_assumed and is_as_assumed(tier, running[chosen])
        tier.leave(running[chosen])
        tier.leaders()
        tier.join(running[chosen])
    raise AssertionError("it does not end")


def test_any_deal_of_two_collections_is_spread_by_two_restarts_at_most() -> None:
    """Of two members with two query nodes each, every replica with two of them."""
    pairs = [[{1, 3}, {2, 4}], [{1, 4}, {2, 3}], [{1, 2}, {3, 4}]]
    taken = set()
    for c, d in product(pairs, pairs):
        replicas = {"c": [frozenset(r) for r in c], "d": [frozenset(r) for r in d]}
        of_c, of_d = (list(product(*(sorted(r) for r in of))) for of in (c, d))
        for one, two, three in product(of_c, of_c, of_d):
            leaders = {"c": {"v0": [*one], "v1": [*two]}, "d": {"v0": [*three]}}
            steps = 0
            while (node := node_to_spread(leaders, replicas, NODES)) is not None:
                leaders = {
                    name: {
                        channel: [instead(node, n, replicas[name]) for n in nodes]
                        for channel, nodes in channels.items()
                    }
                    for name, channels in leaders.items()
                }
                steps += 1
                assert steps <= 2
            assert exposed(leaders, replicas, NODES) == set()
            taken.add(steps)
    assert taken == {0, 1, 2}


def instead(gone: int, node: int, replicas: list[frozenset[int]]) -> int:
    """Return who leads once a node is emptied: the only other one of its replica."""
    if node != gone:
        return node
    (other,) = next(replica for replica in replicas if gone in replica) - {gone}
    return other


def state(*noted: ProxyLeaders, proxies: tuple[str, ...] = ()) -> MemberState:
    sessions = tuple((f"proxy-{i}", f"{address}:19529") for i, address in enumerate(proxies))
    return MemberState("m", {}, "", 3, True, 3, 0, sessions, proxy_leaders=noted)


def test_what_a_settled_proxy_noted_counts_and_an_unsettled_one_is_told() -> None:
    site = site_with_knowledge()
    one, two = (str(n.address) for n in members(site)[:2])
    unsettled = ProxyLeaders(one, False, {"c": {"v0": (9,)}})
    settled = ProxyLeaders(two, True, {"c": {"v0": (1, 2)}})
    states = {"m": state(unsettled, settled, proxies=(one, two))}
    assert noted_leaders(states) == settled.leaders
    assert is_unsettled(states, one)
    assert not is_unsettled(states, two)
    assert not is_unsettled({"m": state()}, one), "one of before there were notes"
    assert led_on_one_member(site, states) == ()


def test_the_note_of_a_member_whose_proxy_is_gone_is_not_how_it_is() -> None:
    """Its own member is off: nobody there writes another one."""
    one, two = (str(n.address) for n in members(site_with_knowledge())[:2])
    old = ProxyLeaders(one, True, {"c": {"v0": (1, 2)}})
    new = ProxyLeaders(two, True, {"c": {"v0": (1, 3)}})
    assert noted_leaders({"m": state(old, new, proxies=(two,))}) == new.leaders
    assert noted_leaders({"m": state(old, new, proxies=(one, two))}) == old.leaders
    assert noted_leaders({"m": state(old, proxies=(two,))}) == {}
