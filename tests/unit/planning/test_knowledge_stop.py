"""May a member of the knowledge tier be stopped: values in, what speaks against it out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from permafrost.facts import CanaryAnswers
from permafrost.planning.knowledge import members
from permafrost.planning.knowledge_status import knowledge_status
from permafrost.planning.knowledge_stop import knowledge_stop_problems
from permafrost.site.model import Site
from permafrost.topology import nodes
from tests.unit.planning.test_knowledge import V2_3, V2_6, seen, site_with, with_state

ONE, TWO, THREE = (n.name for n in members(V2_3))


def codes(site: Site, *names: str, **change: Any) -> list[str]:
    facts = replace(seen(site), **change)
    stopping = [n for n in nodes(site) if n.name in names]
    found = knowledge_stop_problems(site, stopping, knowledge_status(site, facts))
    return sorted({p.code for p in found})


@pytest.mark.parametrize("site", [V2_3, V2_6], ids=["2.3.5", "2.6"])
@pytest.mark.parametrize("name", [ONE, TWO, THREE])
def test_any_one_member_of_a_whole_tier_may_stop(site: Site, name: str) -> None:
    assert codes(site, name) == []


def test_two_at_once_may_not_and_each_store_says_why() -> None:
    assert codes(V2_3, ONE, TWO) == ["KNOWLEDGE_BELOW_QUORUM", "KNOWLEDGE_LAST_OF_ROLE"]
    stopping = [n for n in nodes(V2_3) if n.name in (ONE, TWO)]
    found = knowledge_stop_problems(V2_3, stopping, knowledge_status(V2_3, seen(V2_3)))
    said = " ".join(p.message for p in found)
    for role in ("etcd", "queue", "object_store", "coordinators", "proxies"):
        assert role in said


def test_what_another_member_lacks_counts_what_this_one_lacks_does_not() -> None:
    broken = with_state(seen(V2_3), TWO, units={"milvus-query-1": "failed"})
    states = {"states": broken.states}
    assert codes(V2_3, ONE, **states) == ["KNOWLEDGE_NOT_WHOLE"]
    assert codes(V2_3, TWO, **states) == []


def test_a_wrong_answer_elsewhere_is_enough() -> None:
    wrong = {ONE: CanaryAnswers(ONE, 16, 15, 1), TWO: CanaryAnswers(TWO, 16, 16)}
    assert codes(V2_3, THREE, canaries=wrong) == ["KNOWLEDGE_NOT_WHOLE"]


def test_nobody_stops_what_nobody_sees() -> None:
    stopping = [n for n in nodes(V2_3) if n.name == ONE]
    (problem,) = knowledge_stop_problems(V2_3, stopping, None)
    assert problem.code == "KNOWLEDGE_UNKNOWN"


def test_a_tier_of_one_of_each_cannot_lose_a_member() -> None:
    roles = {"etcd": 1, "object_store": 1, "queue": 1, "coordinators": 1, "query": 2, "proxies": 1}
    small = site_with(roles=roles)
    assert "KNOWLEDGE_LAST_OF_ROLE" in codes(small, ONE)


def test_other_nodes_are_none_of_its_business() -> None:
    others = [n for n in nodes(V2_3) if "knowledge" not in n.name]
    assert knowledge_stop_problems(V2_3, others, None) == ()
