"""When a proxy is told to ask anew who leads: what holds whatever is seen.

The class under test keeps one number for each leader. What it is held to here looks at the whole
history instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.golden.ansible.programs import leaders_program

Key = tuple[int, str, int]
Listed = dict[int, dict[str, list[int]] | None]
COLLECTIONS, CHANNELS, NODES = (100, 101), ("c0", "c1"), (1, 2, 3)
KEYS = [(c, ch, n) for c in COLLECTIONS for ch in CHANNELS for n in NODES]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return leaders_program(tmp_path_factory.mktemp("leaders"), "bergen-knowledge-01")


@dataclass(frozen=True)
class Seen:
    """What one look finds, and how many seconds after the one before it.

    Who is listed (None: nobody says), versions of targets, which nodes are registered, and which
    of them the coordinator has forgotten.
    """

    listed: Listed
    versions: dict[Key, int]
    alive: frozenset[int]
    after_s: float
    going: frozenset[int] = frozenset()


def looks() -> st.SearchStrategy[list[Seen]]:
    """Yield histories; most that is seen stays as it was, so that leaders are ever proven."""
    nodes = st.lists(st.sampled_from(NODES), min_size=1, max_size=2, unique=True).map(sorted)
    channels = st.fixed_dictionaries({"c0": nodes}, optional={"c1": nodes})
    listed = st.dictionaries(st.sampled_from(COLLECTIONS), channels | st.none(), min_size=1)
    versions = st.fixed_dictionaries(
        {}, optional={key: st.integers(0, 2) for key in KEYS}
    ) | st.integers(0, 2).map(lambda version: dict.fromkeys(KEYS, version))
    alive = st.just(frozenset(NODES)) | st.frozensets(st.sampled_from(NODES))
    after_s = st.sampled_from((0.5, 1.5, 15.0, 60.0))
    going = st.just(frozenset[int]()) | st.frozensets(st.sampled_from(NODES), max_size=2)
    once = st.builds(Seen, listed, versions, alive, after_s, going)
    few = st.lists(once, min_size=1, max_size=3)
    return few.flatmap(lambda seen: st.lists(st.sampled_from(seen) | once, max_size=12))


@dataclass
class Proxy:
    """What a proxy would know by what it was told, and all that was seen so far."""

    seen: list[Seen] = field(default_factory=list)
    knows: Listed = field(default_factory=dict)

    def is_proven(self, key: Key) -> bool:
        """Whether its version changed while it was listed, since it was last absent."""
        collection, channel, node = key
        since = 0
        for at, one in enumerate(self.seen):
            since = since if key in one.versions else at + 1
        found = [
            one.versions[key]
            for one in self.seen[since:]
            if node in (one.listed.get(collection) or {}).get(channel, [])
        ]
        return len(set(found)) > 1

    def are_proven(self, collection: int) -> bool:
        listed = self.seen[-1].listed[collection]
        return listed is not None and all(
            self.is_proven((collection, ch, n)) for ch, ns in listed.items() for n in ns
        )

    def is_steady(self, collection: int, seconds: float = 1.0) -> bool:
        """Whether just those that are listed were so for a while."""
        listed, passed = self.seen[-1].listed[collection], 0.0
        for one, before in zip(reversed(self.seen), reversed(self.seen[:-1]), strict=False):
            if before.listed.get(collection, "other") != listed:
                break
            passed += one.after_s
        return passed >= seconds

    def is_left_alone(self, collection: int) -> bool:
        """Whether a leader that is not whole may yet come before the proxy has asked."""
        seen = self.seen[-1]
        said = [(ch, n) for c, ch, n in seen.versions if c == collection]
        is_coming = any(
            n not in seen.going and not self.is_proven((collection, ch, n)) for ch, n in said
        )
        listed, known = seen.listed[collection] or {}, self.knows.get(collection) or {}
        short = [ch for ch, nodes in known.items() if len(listed.get(ch, [])) < len(nodes)]
        serves_on = any(n in seen.going and (ch, n) in said for ch in short for n in known[ch])
        if serves_on:
            return is_coming or not self.is_steady(collection, 60.0)
        return is_coming and not self.is_steady(collection, 15.0)

    def has_lost(self, collection: int) -> bool:
        known = (self.knows.get(collection) or {}).values()
        return any(n not in self.seen[-1].alive for nodes in known for n in nodes)


def followed(leaders: Any, history: list[Seen]) -> Iterator[tuple[Proxy, list[int]]]:
    """Yield after each look what the proxy knew before it, and of what it is told."""
    proxy, now = Proxy(), 100.0
    for seen in history:
        proxy.seen.append(seen)
        now += seen.after_s
        told = leaders.look(seen.listed, seen.versions, seen.alive, now, seen.going)
        yield proxy, told
        for collection in told:
            is_whole = proxy.are_proven(collection)
            proxy.knows[collection] = seen.listed[collection] if is_whole else {}


@settings(max_examples=60, deadline=None)
@given(looks())
def test_no_proxy_asks_while_a_leader_is_unproven_unless_one_it_knows_is_gone(
    program: ModuleType, history: list[Seen]
) -> None:
    for proxy, told in followed(program.Leaders(), history):
        assert len(told) == len(set(told))
        for collection in told:
            is_better = proxy.are_proven(collection) or proxy.is_steady(collection, 15.0)
            assert is_time(proxy, collection) or (proxy.has_lost(collection) and is_better)
            assert proxy.seen[-1].listed[collection] is not None


def is_time(proxy: Proxy, collection: int) -> bool:
    is_whole = proxy.are_proven(collection) and proxy.is_steady(collection)
    return is_whole and not proxy.is_left_alone(collection)


@settings(max_examples=60, deadline=None)
@given(looks())
def test_once_all_that_lead_are_proven_it_asks_once_and_knows_them(
    program: ModuleType, history: list[Seen]
) -> None:
    leaders = program.Leaders()
    for proxy, told in followed(leaders, history):
        seen = proxy.seen[-1]
        for collection, listed in seen.listed.items():
            if is_time(proxy, collection):
                assert collection in told or proxy.knows[collection] == listed
        if all(is_time(proxy, c) for c in seen.listed):
            assert leaders.is_settled(seen.listed)
    if history:
        seen = history[-1]
        leaders.look(seen.listed, seen.versions, frozenset(NODES), 10_000.0)
        assert leaders.look(seen.listed, seen.versions, frozenset(NODES), 10_005.0) == []


@settings(max_examples=60, deadline=None)
@given(looks())
def test_it_is_settled_where_the_proxy_knows_just_those_that_are_listed_and_they_were_proven(
    program: ModuleType, history: list[Seen]
) -> None:
    leaders = program.Leaders()
    proven: dict[int, bool] = {}
    for proxy, told in followed(leaders, history):
        seen = proxy.seen[-1]
        proven |= {collection: proxy.are_proven(collection) for collection in told}
        knows = {**proxy.knows, **{c: seen.listed[c] for c in told}}
        if leaders.is_settled(seen.listed):
            assert all(knows.get(c) == listed for c, listed in seen.listed.items())
            assert all(proven[c] for c in seen.listed)
            shown = leaders.nodes(seen.listed)
            assert shown == sorted(
                {n for c in seen.listed for ns in knows[c].values() for n in ns}
            )


ONE = {100: {"c0": [1]}}
TWO = {100: {"c0": [2]}}
ALL = frozenset(NODES)


NONE: Listed = {100: None}


class Told:
    """Leaders that are looked at every two seconds, but where it is said."""

    def __init__(self, program: ModuleType) -> None:
        self.leaders, self.now = program.Leaders(), 100.0

    def look(
        self,
        listed: Listed,
        versions: dict[Key, int],
        alive: Any,
        after_s: float = 2.0,
        going: Any = frozenset(),
    ) -> Any:
        self.now += after_s
        return self.leaders.look(listed, versions, alive, self.now, going)

    def is_settled(self, listed: Listed) -> Any:
        return self.leaders.is_settled(listed)

    def nodes(self, listed: Listed) -> Any:
        return self.leaders.nodes(listed)


def at(*nodes: int, version: int) -> dict[Key, int]:
    return {(100, "c0", node): version for node in nodes}


@pytest.fixture
def leaders(program: ModuleType) -> Told:
    """One whose proxy knows node 1."""
    found = Told(program)
    assert found.look(ONE, at(1, version=5), ALL) == []
    assert not found.is_settled(ONE)
    assert found.look(ONE, at(1, version=6), ALL) == [100]
    assert found.is_settled(ONE)
    return found


def test_a_new_leader_is_told_of_with_its_second_version(leaders: Told) -> None:
    assert leaders.look(TWO, at(1, 2, version=7), ALL) == []
    assert leaders.nodes(TWO) == [1], "its proxy sends to the one that it knows"
    assert leaders.look(TWO, at(1, 2, version=7), ALL) == []
    assert leaders.look(TWO, at(2, version=8), ALL) == [100]
    assert leaders.look(TWO, at(2, version=9), ALL) == []
    assert leaders.nodes(TWO) == [2]


def test_versions_from_before_it_was_listed_prove_nothing(leaders: Told) -> None:
    for version in (7, 8, 9):
        assert leaders.look(ONE, at(1, 2, version=version), ALL) == []
    assert leaders.look(TWO, at(1, 2, version=9), ALL) == []
    assert leaders.look(TWO, at(1, 2, version=10), ALL) == [100]


def test_one_that_went_and_came_back_is_new(leaders: Told) -> None:
    leaders.look(TWO, at(2, version=7), ALL)
    assert leaders.look(TWO, at(2, version=8), ALL) == [100]
    assert leaders.look(ONE, at(1, 2, version=8), ALL) == []
    assert leaders.look(ONE, at(1, version=8), ALL) == []
    assert leaders.look(ONE, at(1, version=9), ALL) == [100]


def test_a_lost_one_has_it_ask_at_once_where_the_others_are_whole(leaders: Told) -> None:
    both = {100: {"c0": [1, 2]}}
    for version in (6, 7, 8):
        leaders.look(both, at(1, 2, version=version), ALL)
    assert leaders.is_settled(both)
    assert leaders.look(TWO, at(2, version=8), ALL - {1}, 0.5) == [100]
    assert leaders.is_settled(TWO)


def test_the_last_one_was_lost_and_the_next_is_told_of_once_it_is_whole(leaders: Told) -> None:
    """A search that fails is asked again; one that misses rows is believed."""
    left = ALL - {1}
    assert leaders.look(TWO, at(2, version=6), left) == []
    assert leaders.nodes(TWO) == [1]
    assert leaders.look(TWO, at(2, version=6), left) == []
    assert leaders.look(TWO, at(2, version=7), left) == [100]
    assert leaders.is_settled(TWO)


def test_where_nobody_becomes_whole_a_lost_one_is_told_of_in_the_end(leaders: Told) -> None:
    """No target has a new version while a replica has no query node."""
    left = ALL - {1}
    assert leaders.look(TWO, at(2, version=6), left) == []
    assert leaders.look(TWO, at(2, version=6), left, 14.5) == []
    assert leaders.look(TWO, at(2, version=6), left, 0.5) == [100]
    assert not leaders.is_settled(TWO)
    assert leaders.nodes(TWO) == [2]
    assert leaders.look(TWO, at(2, version=6), left) == [], "once: it knows no lost one now"
    assert leaders.look(TWO, at(2, version=7), left) == [100]
    assert leaders.is_settled(TWO)


def test_one_of_two_leaders_that_is_not_whole_keeps_all_as_it_is(leaders: Told) -> None:
    both = {100: {"c0": [1], "c1": [3]}}
    versions = {**at(1, version=7), (100, "c1", 3): 7}
    assert leaders.look(both, versions, ALL) == []
    assert leaders.look(both, {**versions, **at(1, version=8)}, ALL) == []
    assert leaders.look(both, {**at(1, version=8), (100, "c1", 3): 8}, ALL) == [100]


def test_while_leaders_come_one_after_the_other_a_proxy_is_left_alone(leaders: Told) -> None:
    """As a coordinator lists them that has just taken over; it has known them all along."""
    both = {100: {"c0": [1, 2]}}
    for version in (7, 8):
        leaders.look(both, at(1, 2, version=version), ALL)
    assert leaders.is_settled(both)
    assert leaders.look(NONE, at(1, 2, version=8), ALL) == []
    assert not leaders.is_settled(NONE)
    assert leaders.nodes(NONE) == [1, 2]
    assert leaders.look(ONE, at(1, 2, version=8), ALL, 0.5) == []
    assert leaders.look(ONE, at(1, 2, version=8), ALL, 0.4) == []
    assert leaders.look(both, at(1, 2, version=8), ALL, 0.4) == []
    assert leaders.is_settled(both), "it knows them still"


def test_while_nobody_says_who_leads_a_lost_one_is_no_reason_to_ask(leaders: Told) -> None:
    left = ALL - {1}
    assert not leaders.leaders.misses
    assert leaders.look(NONE, {}, left, 20.0) == []
    assert leaders.leaders.misses, "it is looked more often meanwhile"
    assert leaders.look(TWO, at(2, version=6), left, 0.5) == []
    assert leaders.look(TWO, at(2, version=7), left, 0.5) == [100]
    assert not leaders.leaders.misses


BOTH = {100: {"c0": [1, 2]}}


@pytest.fixture
def two(leaders: Told) -> Told:
    """One whose proxy knows nodes 1 and 2."""
    for version in (7, 8):
        leaders.look(BOTH, at(1, 2, version=version), ALL)
    assert leaders.is_settled(BOTH)
    return leaders


def test_while_a_forgotten_one_serves_on_it_stays_until_another_leads(two: Told) -> None:
    """Told of those that are left, it asks a moment later and takes one that is not whole yet."""
    three = {100: {"c0": [1, 3]}}
    for _ in range(4):
        assert two.look(ONE, at(1, 2, version=8), ALL, going={2}) == []
    assert two.nodes(ONE) == [1, 2]
    assert two.look(three, at(1, 2, 3, version=8), ALL, going={2}) == []
    assert two.look(three, at(1, 2, 3, version=9), ALL, going={2}) == [100]
    assert two.nodes(three) == [1, 3]


def test_where_no_other_comes_for_it_the_proxy_learns_who_is_left(two: Told) -> None:
    assert two.look(ONE, at(1, 2, version=8), ALL, going={2}) == []
    assert two.look(ONE, at(1, 2, version=8), ALL, 59.0, going={2}) == []
    coming = at(1, 2, 3, version=8)
    assert two.look(ONE, coming, ALL, 1.0, going={2}) == [], "one takes its time to load"
    assert two.look(ONE, at(1, 2, version=8), ALL, 0.5, going={2}) == [100]


def test_one_that_serves_no_more_or_was_not_forgotten_is_not_waited_for(two: Told) -> None:
    assert two.look(ONE, at(1, version=8), ALL, going={2}) == []
    assert two.look(ONE, at(1, version=8), ALL, going={2}) == [100], "it leads no more"
    for version in (9, 10):
        two.look(BOTH, at(1, 2, version=version), ALL)
    assert two.is_settled(BOTH)
    assert two.look(ONE, at(1, 2, version=10), ALL) == []
    assert two.look(ONE, at(1, 2, version=10), ALL) == [100], "some of what it needs is gone"


def test_before_one_that_comes_is_listed_the_proxy_is_left_alone(leaders: Told) -> None:
    both = {100: {"c0": [1], "c1": [3]}}
    versions = {**at(1, version=7), (100, "c1", 3): 7}
    leaders.look(both, versions, ALL)
    coming = {**at(1, 2, version=8), (100, "c1", 3): 8}
    assert leaders.look(both, coming, ALL, 14.9) == []
    assert leaders.look(both, coming, ALL, 0.1) == [100], "it may never be"


def test_one_that_is_gone_is_told_of_though_another_comes(two: Told) -> None:
    """Searches fail on it: a proxy asks by itself in the end, and knows then what it finds."""
    assert two.look(ONE, at(1, 3, version=8), ALL - {2}, 0.5) == [100]


def test_neither_one_of_another_collection_nor_one_that_goes_is_about_to_come(two: Told) -> None:
    versions = {**at(1, version=8), (101, "c0", 2): 8, (100, "c0", 3): 8}
    assert two.look(ONE, versions, ALL, going={3}) == []
    assert two.look(ONE, versions, ALL, going={3}) == [100]
