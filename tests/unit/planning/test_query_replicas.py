"""Which query node is restarted for a replica that has none: by example, and for any tier."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from permafrost.facts import MemberState, QueryReplica
from permafrost.planning.knowledge import members, query_port, units_of
from permafrost.planning.query_replicas import (
    QueryNode,
    is_settled,
    lacking,
    node_to_restart,
    noted_replicas,
    running_nodes,
)
from tests.unit.runbook.test_members import site_with_knowledge

Has = dict[str, list[frozenset[int]]]
NODES = {
    1: QueryNode("two", "query-1"),
    2: QueryNode("two", "query-2"),
    3: QueryNode("three", "query-1"),
    4: QueryNode("three", "query-2"),
}
STAY = {n: NODES[n] for n in (1, 2)}


def sets(*nodes: set[int]) -> list[frozenset[int]]:
    return [frozenset(n) for n in nodes]


def test_one_of_the_replica_that_has_two_goes_to_the_one_that_has_none() -> None:
    assert node_to_restart({"c": sets({1, 2}, {3, 4})}, STAY, {"three"}) == 1
    assert node_to_restart({"c": sets({1, 3}, {2, 4})}, STAY, {"three"}) is None
    assert node_to_restart({"c": sets({1, 2}, {3, 4})}, NODES, {"three"}) is None


def test_one_that_is_no_other_replicas_only_node_is_preferred() -> None:
    replicas = {"c": sets({1, 2, 5}, set()), "d": sets({1}, {2, 5})}
    nodes = {**STAY, 5: QueryNode("two", "query-3")}
    assert node_to_restart(replicas, nodes, {"three"}) == 2


def test_the_last_node_of_a_collection_stays() -> None:
    replicas = {"c": sets({1, 2}, set()), "d": sets({1}, set())}
    assert node_to_restart(replicas, STAY, {"three"}) == 2
    replicas = {"c": sets({1, 2}, set()), "d": sets({1}), "e": sets({2})}
    assert node_to_restart(replicas, STAY, {"three"}) is None
    assert node_to_restart({"c": sets({1}, set())}, {1: NODES[1]}, {"three"}) is None


def test_a_node_that_is_gone_or_has_no_place_yet_is_not_settled() -> None:
    assert is_settled({"c": sets({1}, {2})}, STAY)
    assert not is_settled({"c": sets({1, 2}, {3})}, STAY)
    assert not is_settled({"c": sets({1}, set())}, STAY)
    assert is_settled({}, STAY)


@st.composite
def tiers(draw: st.DrawFn) -> tuple[Has, dict[int, QueryNode], set[str]]:
    """Any members with any nodes, each of them in one replica of a collection, or of none."""
    counts = draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    places = [
        QueryNode(f"m{m}", f"query-{i}") for m, count in enumerate(counts) for i in range(count)
    ]
    nodes = dict(enumerate(places))
    replicas: Has = {}
    may_lack = draw(st.booleans())
    for name in range(draw(st.integers(1, 3))):
        of: list[set[int]] = [set() for _ in range(draw(st.integers(1, 3)))]
        for node in nodes:
            at = draw(st.integers(0, len(of) if may_lack else len(of) - 1))
            if at < len(of):
                of[at].add(node)
        replicas[str(name)] = [frozenset(r) for r in of]
    leaving = {f"m{m}" for m in draw(st.sets(st.integers(0, len(counts) - 1), max_size=2))}
    return replicas, nodes, leaving


def restarted(replicas: Has, old: int, new: int) -> Has:
    """As Milvus 2.3.5 does: gone from each collection, then joined where the fewest are."""
    found: Has = {}
    for name, of in replicas.items():
        left = [r - {old} for r in of]
        at = left.index(min(left, key=len))
        found[name] = [r | {new} if i == at else r for i, r in enumerate(left)]
    return found


def empty(replicas: Has, nodes: dict[int, QueryNode]) -> dict[str, int]:
    return {name: sum(not r & nodes.keys() for r in of) for name, of in replicas.items()}


@given(tiers(), st.booleans())
def test_it_ends_and_empties_nothing_and_leaves_alone_who_leaves(
    tier: tuple[Has, dict[int, QueryNode], set[str]], is_gone: bool
) -> None:
    replicas, nodes, leaving = tier
    if is_gone:
        nodes = {n: node for n, node in nodes.items() if node.member not in leaving}
        replicas = {name: [r & nodes.keys() for r in of] for name, of in replicas.items()}
    bound, number = len(nodes), 1000
    is_whole = is_settled(replicas, nodes)
    for _ in range(bound + 1):
        chosen = node_to_restart(replicas, nodes, leaving)
        if chosen is None:
            break
        assert nodes[chosen].member not in leaving
        for of in replicas.values():
            nowhere = not any(r & nodes.keys() for r in of)
            assert nowhere or any(r & nodes.keys() - {chosen} for r in of), "none answers"
        before, number = empty(replicas, nodes), number + 1
        replicas = restarted(replicas, chosen, number)
        nodes = {**{n: node for n, node in nodes.items() if n != chosen}, number: nodes[chosen]}
        after = empty(replicas, nodes)
        assert all(after[name] <= before[name] for name in before)
        assert sum(after.values()) < sum(before.values())
    assert chosen is None, "it did not end"
    if is_whole and not any(node.member in leaving for node in nodes.values()):
        for of in replicas.values():
            assert all(of) or max(map(len, of)) < 2, "one that could have a node has none"


def test_nodes_are_found_by_where_their_sessions_are() -> None:
    site = site_with_knowledge()
    node = next(n for n in members(site) if n.name == "lab-knowledge-02")
    one, two = (u for u in units_of(site, node.name) if u.role == "query" and not u.is_spare)
    (port,) = one.ports.values()
    (other,) = two.ports.values()
    state = MemberState(
        node.name,
        {one.name: "active", two.name: "deactivating"},
        "", 3, True, 3, 0,
        (
            ("querynode-7", f"{node.address}:{port}"),
            ("querynode-6", f"{node.address}:{port}"),
            ("querynode-8", f"{node.address}:{other}"),
            ("querynode-9", "192.0.2.1:21123"),
            ("rootcoord", f"{node.address}:53100"),
        ),
        replicas=(
            QueryReplica("1", "11", frozenset({7})),
            QueryReplica("1", "12", frozenset({8})),
        ),
    )  # fmt: skip
    seen = {node.name: state, "lab-knowledge-01": replace(state, sessions=(), replicas=())}
    nodes = running_nodes(site, seen)
    assert nodes == {7: QueryNode(node.name, one.name)}
    assert [r.replica for r in lacking(noted_replicas(seen), nodes)] == ["12"]
    assert running_nodes(site, {"lab-knowledge-01": seen["lab-knowledge-01"]}) == {}


def test_one_that_the_site_file_has_no_more_runs_until_its_member_is_configured() -> None:
    """Six query nodes became four: with the third of a member unseen nothing was ever settled."""
    site = site_with_knowledge()
    node = next(n for n in members(site) if n.name == "lab-knowledge-03")
    units = [u for u in units_of(site, node.name) if u.role == "query"]
    assert [query_port(site, u.name) for u in units] == [
        *(p for u in units for p in u.ports.values())
    ]
    names = ("milvus-query-1", "milvus-query-2", "milvus-query-3", "milvus-query-spare")
    sessions = tuple(
        (f"querynode-{n}", f"{node.address}:{query_port(site, name)}")
        for n, name in enumerate(names, 1)
    )
    words = dict.fromkeys(names, "active")
    state = MemberState(node.name, words, "", 3, True, 3, 0, sessions)
    assert running_nodes(site, {node.name: state}) == {
        n: QueryNode(node.name, name) for n, name in enumerate(names, 1)
    }
    others = ("etcd", "milvus-proxies", "milvus-query-", "milvus-query-x", "permafrost-query-1")
    assert [query_port(site, name) for name in others] == [None] * len(others)
    assert query_port(site, "milvus-query") == query_port(site, "milvus-query-1")
