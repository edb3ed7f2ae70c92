"""Which spare query node is started before a member goes, by example and for any deal."""

from __future__ import annotations

import random
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from permafrost.planning.query_replicas import QueryNode
from permafrost.planning.query_spares import Empty, Start, before_it_goes, to_dismiss, to_level
from tests.unit.planning.test_query_replicas import NODES, Has, sets

SPARE = QueryNode("three", "query-spare")


def without(node: int) -> dict[int, QueryNode]:
    return {n: where for n, where in NODES.items() if n != node}


def test_it_has_the_fewest_before_a_spare_is_started() -> None:
    apart = {"c": sets({1, 2}, {3, 4})}
    assert before_it_goes(apart, NODES, "two", [SPARE]) == Empty(1)
    assert before_it_goes(apart, without(1), "two", [SPARE]) == Start(SPARE)
    joined = {"c": sets({2, 9}, {3, 4})}
    nodes = {**without(1), 9: SPARE}
    assert before_it_goes(joined, nodes, "two", []) is None


def test_nothing_is_done_for_replicas_that_span_members_nor_without_a_spare() -> None:
    assert before_it_goes({"c": sets({1, 3}, {2, 4})}, NODES, "two", [SPARE]) is None
    assert before_it_goes({"c": sets({1, 2}, {3, 4})}, NODES, "two", []) is None


def test_a_lot_is_not_drawn() -> None:
    """Of two replicas with one node each a spare may join either."""
    nodes = {1: NODES[1], 3: NODES[3]}
    assert before_it_goes({"c": sets({1}, {3})}, nodes, "two", [SPARE]) is None


def test_the_last_node_of_another_collection_is_not_emptied() -> None:
    replicas = {"c": sets({1, 2}, {3, 4}), "d": sets({1}, {2, 3, 4})}
    assert before_it_goes(replicas, NODES, "two", [SPARE]) == Empty(2)


def test_the_spare_is_of_the_member_with_the_fewest_query_nodes() -> None:
    other = QueryNode("four", "query-spare")
    step = before_it_goes({"c": sets({2}, {3, 4})}, without(1), "two", [SPARE, other])
    assert step == Start(other)


def test_a_spare_ends_when_each_of_its_replicas_has_another_node() -> None:
    nodes = {**without(2), 9: SPARE}
    assert to_dismiss({"c": sets({1, 9}, {3, 4})}, nodes, [SPARE]) == 9
    assert to_dismiss({"c": sets({9}, {1, 3, 4})}, nodes, [SPARE]) is None
    assert to_dismiss({"c": sets({2, 9}, {3, 4})}, nodes, [SPARE]) is None, "2 runs no more"
    assert to_dismiss({"c": sets({1}, {3, 4})}, without(2), [SPARE]) is None


def test_replicas_are_made_even_and_apart_while_at_it() -> None:
    assert to_level({"c": sets({1}, {2, 3, 4})}, NODES) in (3, 4)
    assert to_level({"c": sets({1, 2}, {3, 4})}, NODES) is None
    assert to_level({"c": sets({1}, {3, 4})}, without(2)) is None


class Tier:
    """Query nodes as Milvus deals them: where several replicas have the fewest, by lot."""

    def __init__(self, nodes: dict[int, QueryNode], replicas: Has, lot: random.Random) -> None:
        self.nodes, self.replicas, self.lot = nodes, replicas, lot
        self.next = count(max(nodes) + 1)

    def start(self, node: QueryNode) -> None:
        number = next(self.next)
        self.nodes[number] = node
        for name, of in self.replicas.items():
            fewest = min(map(len, of))
            i = self.lot.choice([i for i, r in enumerate(of) if len(r) == fewest])
            self.replicas[name] = [r | {number} if i == j else r for j, r in enumerate(of)]

    def end(self, number: int) -> None:
        del self.nodes[number]
        self.replicas = {name: [r - {number} for r in of] for name, of in self.replicas.items()}
        assert all(all(of) for of in self.replicas.values()), "a replica has no node"

    def spares(self) -> list[QueryNode]:
        return [QueryNode(m, "query-spare") for m in ("two", "three")]


def uneven(tier: Tier) -> int:
    sizes = [[len(r) for r in of] for of in tier.replicas.values()]
    return max(max(each) - min(each) for each in sizes)


@given(st.integers(2, 4), st.integers(1, 4), st.sampled_from(["two", "three"]), st.randoms())
def test_no_replica_is_ever_without_a_node_while_a_member_goes_and_comes_back(
    each: int, collections: int, leaving: str, lot: random.Random
) -> None:
    names = [(m, f"query-{i}") for m in ("two", "three") for i in range(each)]
    nodes = {i: QueryNode(*name) for i, name in enumerate(names)}
    replicas: Has = {}
    for c in range(collections):
        order = lot.sample(sorted(nodes), len(nodes))
        replicas[str(c)] = sets(set(order[:each]), set(order[each:]))
    tier = Tier(dict(nodes), replicas, lot)
    for _ in range(20):
        free = [s for s in tier.spares() if s.member != leaving and s not in tier.nodes.values()]
        step = before_it_goes(tier.replicas, tier.nodes, leaving, free)
        if step is None:
            break
        if isinstance(step, Start):
            tier.start(step.spare)
        else:
            assert tier.nodes[step.node].member == leaving
            tier.end(step.node)
    for number in [n for n, node in tier.nodes.items() if node.member == leaving]:
        tier.end(number)
    # It comes back.
    for node in [QueryNode(*name) for name in names if name[0] == leaving]:
        tier.start(node)
    while (number := to_dismiss(tier.replicas, tier.nodes, tier.spares())) is not None:
        tier.end(number)
    for _ in range(20):
        level = to_level(tier.replicas, tier.nodes)
        if level is None:
            break
        node, before = tier.nodes[level], uneven(tier)
        tier.end(level)
        tier.start(node)
        assert uneven(tier) <= before
    else:
        raise AssertionError("it did not end")
    if collections == 1:
        assert not set(tier.spares()) & set(tier.nodes.values())
        assert uneven(tier) < 2
