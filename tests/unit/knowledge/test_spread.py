"""When a member has one of its query nodes begin anew by itself, and which: what is decided.

The choice is held to ``planning.query_leaders``, by which runbooks spread leaders.
"""

from __future__ import annotations

import copy
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from permafrost.planning.query_leaders import exposed, node_to_spread
from permafrost.planning.query_replicas import QueryNode
from tests.golden.ansible.programs import spread_program

TWO, THREE = "10.20.0.25", "10.20.0.26"
HOMES = {1: THREE, 3: THREE, 9: TWO, 10: TWO}
DEALT = {"c": {"v0": [1, 3], "v1": [9, 10]}}
"""As a collection of two channels was dealt when it was loaded; lab."""
REPLICAS = {"c": [[3, 10], [1, 9]]}
TIER = {"leaders": DEALT, "replicas": REPLICAS, "homes": HOMES}
LONG_S = 31.0


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return spread_program(tmp_path_factory.mktemp("spread"), "bergen-knowledge-02")


def steady(spread: Any, tier: dict[str, Any], now: float = 100.0) -> Any:
    """Return what is chosen of a tier that stays as it is for long."""
    assert spread.look(now, copy.deepcopy(tier)) is None, "not at once"
    return spread.look(now + LONG_S, copy.deepcopy(tier))


@pytest.mark.parametrize(("own", "chosen"), [(TWO, 9), (THREE, None), ("10.20.0.24", None)])
def test_the_member_that_has_the_chosen_one_acts(
    program: ModuleType, own: str, chosen: int | None
) -> None:
    assert steady(program.Spread(own), TIER) == chosen


def test_what_moves_meanwhile_or_is_not_whole_is_waited_for_anew(program: ModuleType) -> None:
    spread = program.Spread(TWO)
    other = {**TIER, "leaders": {"c": {"v0": [1, 10], "v1": [9, 10]}}}
    for now, tier in ((0, TIER), (20, other), (29, TIER), (50, None), (52, TIER), (81, TIER)):
        assert spread.look(float(now), tier) is None
    assert spread.look(82.0, TIER) == 9


def test_what_did_not_help_is_not_done_again_before_all_were_led_on_two(
    program: ModuleType,
) -> None:
    spread = program.Spread(TWO)
    assert steady(spread, TIER) == 9
    # It began anew as 11, and Milvus gave the channel back to it.
    back = {
        "leaders": {"c": {"v0": [1, 3], "v1": [10, 11]}},
        "replicas": {"c": [[3, 10], [1, 11]]},
        "homes": {1: THREE, 3: THREE, 10: TWO, 11: TWO},
    }
    assert steady(spread, back, 200.0) is None
    better = {**back, "leaders": {"c": {"v0": [1, 3], "v1": [1, 10]}}}
    assert steady(spread, better, 300.0) is None, "the other member's turn"
    assert steady(spread, back, 400.0) is None
    assert steady(spread, {**back, "leaders": {"c": {"v0": [1, 10]}}}, 500.0) is None
    assert steady(spread, back, 600.0) == 10


def test_what_was_refused_is_tried_again_as_it_stands(program: ModuleType) -> None:
    """The control: what was done is not. Nobody else would: a deployment leaves it to members."""
    spread = program.Spread(TWO)
    assert steady(spread, TIER) == 9
    assert steady(spread, {**TIER}, 200.0) is None
    spread.refused()
    assert steady(spread, TIER, 300.0) == 9


@pytest.mark.parametrize("answer", ['{"spread": ""}', '{"spread": "milvus-query-1"}', None])
def test_only_what_was_done_counts_as_tried(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, answer: str | None
) -> None:
    told = {"etcd": [], "root": "r", "address": TWO, "query_ports": {"milvus-query-1": 21109}}
    reader = SimpleNamespace(
        trust=lambda _: None, answering=lambda _: "", sessions_at=lambda *_: SESSIONS,
        replicas_at=lambda *_: NOTED,
    )  # fmt: skip
    done = SimpleNamespace(stdout=answer or "", stderr="no etcd", returncode=int(answer is None))
    monkeypatch.setattr(program, "notes_at", lambda *_: NOTES)
    monkeypatch.setattr(program.subprocess, "run", lambda *_, **__: done)
    spread = program.Spread(TWO)
    monkeypatch.setattr(spread, "look", lambda *_: spread.tried.append("so") or 9)
    program.look(reader, told, spread, BEFORE)
    assert spread.tried == (["so"] if answer and "milvus" in answer else [])


def test_two_that_help_together_are_begun_anew_one_after_the_other(program: ModuleType) -> None:
    """As the lot fell on a lab: either one of 19 and 30 alone leaves as many on one member."""
    tier: dict[str, Any] = {
        "leaders": {"canaries": {"v0": [19, 27]}, "docs": {"v0": [27, 30], "v1": [19, 30]}},
        "replicas": {"canaries": [[27, 30], [19, 31]], "docs": [[19, 27], [30, 31]]},
        "homes": {19: TWO, 30: TWO, 27: THREE, 31: THREE},
    }
    acted = []
    for _ in range(2):
        chosen = {own: steady(program.Spread(own), tier) for own in (TWO, THREE)}
        (node,) = (node for node in chosen.values() if node is not None)
        acted.append(node)
        tier = {**tier, "leaders": program.without(node, tier)}
    assert len(acted) == 2
    assert program.exposed(tier["leaders"], tier) == set()


def test_where_one_replica_keeps_its_leaders_they_stay(program: ModuleType) -> None:
    well = {**TIER, "leaders": {"c": {"v0": [1, 10], "v1": [1, 10]}}}
    assert steady(program.Spread(TWO), well) is None


def test_each_channel_on_two_members_is_not_enough(program: ModuleType) -> None:
    """As the lot fell on a lab: either loss takes a leader of both replicas, and searches missed
    rows for two seconds."""
    tier = {**TIER, "leaders": {"c": {"v0": [1, 10], "v1": [3, 9]}}}
    assert program.exposed(tier["leaders"], tier) == {("c", TWO), ("c", THREE)}
    assert steady(program.Spread(TWO), tier) is not None


def test_a_replica_that_has_no_other_node_keeps_its_leader(program: ModuleType) -> None:
    tier = {"leaders": {"c": {"v0": [9, 10]}}, "replicas": {"c": [[9], [10]]}, "homes": HOMES}
    assert steady(program.Spread(TWO), tier) is None


@st.composite
def tiers(draw: st.DrawFn) -> dict[str, Any]:
    """Yield two members with two query nodes each, collections of two replicas dealt by lot."""
    leaders, replicas = {}, {}
    for collection in draw(st.sets(st.sampled_from("cde"), min_size=1)):
        nodes = draw(st.permutations([1, 3, 9, 10]))
        cut = draw(st.integers(1, 3))
        of = [sorted(nodes[:cut]), sorted(nodes[cut:])]
        replicas[collection] = of
        leaders[collection] = {
            channel: sorted(draw(st.sampled_from(replica)) for replica in of)
            for channel in draw(st.sets(st.sampled_from(("v0", "v1")), min_size=1))
        }
    return {"leaders": leaders, "replicas": replicas, "homes": HOMES}


@given(tiers())
def test_it_chooses_what_a_runbook_would_of_its_own_query_nodes(
    program: ModuleType, tier: dict[str, Any]
) -> None:
    nodes = {n: QueryNode(home, f"query-{n:02}") for n, home in HOMES.items()}
    of = {c: [frozenset(r) for r in replicas] for c, replicas in tier["replicas"].items()}
    expected = node_to_spread(tier["leaders"], of, nodes)
    assert program.exposed(tier["leaders"], tier) == exposed(tier["leaders"], of, nodes)
    for own in (TWO, THREE):
        chosen = steady(program.Spread(own), tier)
        assert chosen == (expected if expected and HOMES[expected] == own else None)


SESSIONS = [
    {"key": f"querynode-{n}", "address": f"{home}:211{n:02}", "server_id": n, "version": "2.3.5",
     "is_stopping": False}
    for n, home in HOMES.items()
] + [
    {"key": f"proxy-{n}", "address": f"{home}:19529", "server_id": n, "version": "2.3.5",
     "is_stopping": False}
    for n, home in ((5, "10.20.0.24"), (6, TWO))
]  # fmt: skip
NOTE = {"settled": True, "nodes": [1, 3, 9, 10], "leaders": DEALT}
NOTES = {"10.20.0.24": (7, NOTE), TWO: (8, NOTE)}
BEFORE = {"10.20.0.24": 5, TWO: 6}
NOTED = [{"collection": "c", "replica": str(i), "nodes": r} for i, r in enumerate(REPLICAS["c"])]


def test_a_tier_that_is_whole_is_seen(program: ModuleType) -> None:
    assert program.observed(SESSIONS, NOTES, BEFORE, NOTED) == TIER


def changed(at: int, **what: object) -> list[dict[str, Any]]:
    return [{**s, **what} if i == at else s for i, s in enumerate(SESSIONS)]


@pytest.mark.parametrize(
    ("sessions", "notes", "before", "noted"),
    [
        (changed(0, is_stopping=True), NOTES, BEFORE, NOTED),
        (changed(0, version="2.3.4"), NOTES, BEFORE, NOTED),
        (SESSIONS[1:], NOTES, BEFORE, NOTED),
        (SESSIONS[:4], NOTES, BEFORE, NOTED),
        (SESSIONS, {TWO: NOTES[TWO]}, BEFORE, NOTED),
        (SESSIONS, {**NOTES, TWO: (8, {**NOTE, "settled": False})}, BEFORE, NOTED),
        (SESSIONS, {**NOTES, TWO: (8, {**NOTE, "leaders": {"c": {}}})}, BEFORE, NOTED),
        (SESSIONS, NOTES, {**BEFORE, TWO: 8}, NOTED),
        (SESSIONS, NOTES, {}, NOTED),
        (SESSIONS, NOTES, BEFORE, NOTED[:1]),
    ],
    ids=["stops", "two versions", "a node has gone", "no proxy", "a proxy says nothing",
         "not settled", "they differ", "not written any more", "seen for the first time",
         "a node without a place"],
)  # fmt: skip
def test_what_is_not_whole_is_not_judged(
    program: ModuleType, sessions: Any, notes: Any, before: Any, noted: Any
) -> None:
    assert program.observed(sessions, notes, before, noted) is None


def test_the_unit_of_a_query_node_is_known_by_its_port(program: ModuleType) -> None:
    told = {"address": TWO, "query_ports": {"milvus-query-1": 21109, "milvus-query-2": 21110}}
    assert program.unit_of(9, SESSIONS, told) == "milvus-query-1"
    assert program.unit_of(10, SESSIONS, told) == "milvus-query-2"
    assert program.unit_of(1, SESSIONS, told) == "", "it is another member's"
