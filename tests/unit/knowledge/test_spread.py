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
LONG_S, MOMENTS_S = 31.0, 5.0
BEFORE, ANEW = {"c": {"7", "8"}}, {"c": {"9", "10"}}
"""The loads that were there before the service began, and another one of the same collection."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return spread_program(tmp_path_factory.mktemp("spread"), "bergen-knowledge-02")


def steady(spread: Any, tier: dict[str, Any], now: float = 100.0) -> Any:
    """Return what is chosen of a tier that stays as it is for long."""
    assert spread.look(now, copy.deepcopy(tier), BEFORE) is None, "not at once"
    return spread.look(now + LONG_S, copy.deepcopy(tier), BEFORE)


@pytest.mark.parametrize(("own", "chosen"), [(TWO, 9), (THREE, None), ("10.20.0.24", None)])
def test_the_member_that_has_the_chosen_one_acts(
    program: ModuleType, own: str, chosen: int | None
) -> None:
    assert steady(program.Spread(own), TIER) == chosen


def test_what_moves_meanwhile_or_is_not_whole_is_waited_for_anew(program: ModuleType) -> None:
    spread = program.Spread(TWO)
    other = {**TIER, "leaders": {"c": {"v0": [1, 10], "v1": [9, 10]}}}
    for now, tier in ((0, TIER), (20, other), (29, TIER), (50, None), (52, TIER), (81, TIER)):
        assert spread.look(float(now), tier, BEFORE) is None
    assert spread.look(82.0, TIER, BEFORE) == 9


WELL: dict[str, Any] = {**TIER, "leaders": {"c": {"v0": [1, 10], "v1": [1, 10]}}}


def test_what_a_load_has_dealt_is_mended_in_moments(program: ModuleType) -> None:
    spread = program.Spread(TWO)
    assert spread.look(0.0, None, {}) is None
    assert spread.look(90.0, TIER, ANEW) is None, "not at once"
    assert spread.look(90.0 + MOMENTS_S, TIER, ANEW) == 9


@pytest.mark.parametrize(
    ("loads", "tier", "again"),
    [({}, WELL, ANEW), (ANEW, None, ANEW), (ANEW, WELL, ANEW)],
    ids=["they were apart since", "it was loaded before the service began", "both"],
)
def test_what_a_change_has_left_waits_longer_than_a_runbook_pauses(
    program: ModuleType, loads: Any, tier: Any, again: Any
) -> None:
    spread = program.Spread(TWO)
    assert spread.look(0.0, None, loads) is None
    assert spread.look(80.0, tier, ANEW) is None
    assert spread.look(90.0, TIER, again) is None
    assert spread.look(90.0 + MOMENTS_S, TIER, again) is None
    assert spread.look(90.0 + LONG_S, TIER, again) == 9


def test_a_collection_that_is_loaded_again_is_dealt_anew(program: ModuleType) -> None:
    """The control of the one above: its replicas have other numbers."""
    spread = program.Spread(TWO)
    for now, tier, loads in ((0.0, WELL, BEFORE), (50.0, None, {}), (90.0, TIER, ANEW)):
        assert spread.look(now, tier, loads) is None
    assert spread.look(90.0 + MOMENTS_S, TIER, ANEW) == 9


def test_one_of_two_that_a_change_has_left_is_waited_for(program: ModuleType) -> None:
    both = {
        "leaders": {"c": DEALT["c"], "d": DEALT["c"]},
        "replicas": {"c": REPLICAS["c"], "d": REPLICAS["c"]},
        "homes": HOMES,
    }
    spread = program.Spread(TWO)
    assert spread.look(0.0, None, BEFORE) is None
    loads = {**BEFORE, "d": {"9", "10"}}
    assert spread.look(90.0, both, loads) is None
    assert spread.look(90.0 + MOMENTS_S, both, loads) is None
    assert spread.look(90.0 + LONG_S, both, loads) == 9


def test_what_mending_a_load_has_exposed_is_mended_in_moments_too(program: ModuleType) -> None:
    """As on a lab: what began anew had led another collection, which was waited for 30 s."""
    after = {
        "leaders": {"c": WELL["leaders"]["c"], "d": {"v0": [1, 3]}},
        "replicas": {"c": [[3, 11], [1, 10]], "d": [[3, 11], [1, 10]]},
        "homes": {1: THREE, 3: THREE, 10: TWO, 11: TWO},
    }
    loads = {**ANEW, "d": {"7", "8"}}
    for is_dealt in (True, False):
        spread = program.Spread(THREE)
        assert spread.look(0.0, None, {"d": {"7", "8"}} if is_dealt else loads) is None
        assert spread.look(90.0, TIER, loads) is None
        assert spread.look(105.0, None, loads) is None
        assert spread.look(110.0, after, loads) is None
        chosen = spread.look(110.0 + MOMENTS_S, after, loads)
        assert (chosen is not None) is is_dealt, "the control: a change is waited for"
        assert (
            spread.look(110.0 + LONG_S, {**after, "leaders": {"d": {"v0": [1, 10]}}}, loads)
            is None
        )
        assert not spread.is_dealing, "the next one is another matter"


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
    monkeypatch.setattr(program, "notes_at", lambda *_: {TWO: (8, NOTE)})
    monkeypatch.setattr(program.subprocess, "run", lambda *_, **__: done)
    spread = program.Spread(TWO)
    monkeypatch.setattr(spread, "look", lambda *_: spread.tried.append("so") or 9)
    program.look(reader, told, spread, {TWO: (7, 0.0)})
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
    assert steady(program.Spread(TWO), WELL) is None


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
NOTES = {"10.20.0.24": NOTE, TWO: NOTE}
NOTED = [
    {"collection": "c", "replica": str(7 + i), "nodes": r} for i, r in enumerate(REPLICAS["c"])
]


def test_a_tier_that_is_whole_is_seen(program: ModuleType) -> None:
    assert program.observed(SESSIONS, NOTES, NOTED) == TIER
    assert program.loads_of(NOTED) == BEFORE


def changed(at: int, **what: object) -> list[dict[str, Any]]:
    return [{**s, **what} if i == at else s for i, s in enumerate(SESSIONS)]


@pytest.mark.parametrize(
    ("sessions", "notes", "noted"),
    [
        (changed(0, is_stopping=True), NOTES, NOTED),
        (changed(0, version="2.3.4"), NOTES, NOTED),
        (SESSIONS[1:], NOTES, NOTED),
        (SESSIONS[:4], NOTES, NOTED),
        (SESSIONS, {TWO: NOTE}, NOTED),
        (SESSIONS, {**NOTES, TWO: {**NOTE, "settled": False}}, NOTED),
        (SESSIONS, {**NOTES, TWO: {**NOTE, "leaders": {"c": {}}}}, NOTED),
        (SESSIONS, NOTES, NOTED[:1]),
    ],
    ids=["stops", "two versions", "a node has gone", "no proxy", "a proxy says nothing",
         "not settled", "they differ", "a node without a place"],
)  # fmt: skip
def test_what_is_not_whole_is_not_judged(
    program: ModuleType, sessions: Any, notes: Any, noted: Any
) -> None:
    assert program.observed(sessions, notes, noted) is None


def test_a_note_that_is_not_written_any_more_says_nothing(program: ModuleType) -> None:
    seen: dict[str, Any] = {}
    looks = [(0.0, 5), (2.0, 5), (4.0, 6), (8.0, 6), (10.0, 6), (12.0, 9)]
    says = [bool(program.written({TWO: (at, NOTE)}, seen, now)) for now, at in looks]
    assert says == [False, False, True, True, False, True], "one seen for the first time neither"


def test_the_unit_of_a_query_node_is_known_by_its_port(program: ModuleType) -> None:
    told = {"address": TWO, "query_ports": {"milvus-query-1": 21109, "milvus-query-2": 21110}}
    assert program.unit_of(9, SESSIONS, told) == "milvus-query-1"
    assert program.unit_of(10, SESSIONS, told) == "milvus-query-2"
    assert program.unit_of(1, SESSIONS, told) == "", "it is another member's"
