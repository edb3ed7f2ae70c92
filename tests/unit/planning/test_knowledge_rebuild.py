"""What a member whose disk is empty gets back from whom: values in, sources or a refusal out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from permafrost.errors import Refused
from permafrost.facts import MemberDisk
from permafrost.planning.knowledge import members, stores_on
from permafrost.planning.knowledge_lacks import KnowledgeFacts
from permafrost.planning.knowledge_rebuild import lost_stores, plan_rebuild
from permafrost.planning.knowledge_status import knowledge_status
from permafrost.planning.milvus_versions import STORE_UNITS, STORES
from tests.unit.planning.test_knowledge import V2_3, seen

ONE, TWO, THREE = (n.name for n in members(V2_3))
EMPTY = MemberDisk(TWO, frozenset())


def facts_with(*running: str, writable: bool = True) -> KnowledgeFacts:
    """Return what is seen while the stores of these members alone run; others do not answer."""
    facts = seen(V2_3)
    states = {
        name: replace(
            facts.states[name],
            units={**facts.states[name].units, **{STORE_UNITS[s]: "active" for s in STORES}},
            etcd_answering=len(running),
            brokers=len(running),
            store_is_writable=writable,
        )
        for name in running
    }
    silent = {n: "no route to host" for n in (ONE, TWO, THREE) if n not in running}
    return replace(facts, states=states, silent=silent)


def codes(facts: KnowledgeFacts, disk: MemberDisk = EMPTY) -> list[str]:
    try:
        plan_rebuild(V2_3, disk, knowledge_status(V2_3, facts))
    except Refused as refused:
        return [p.message.partition(":")[0] for p in refused.problems]
    return []


def test_everything_comes_from_both_others() -> None:
    found = plan_rebuild(V2_3, EMPTY, knowledge_status(V2_3, facts_with(ONE, THREE)))
    assert [(s.store, s.sources) for s in found] == [
        (store, (ONE, THREE)) for store in ("etcd", "object_store", "queue")
    ]
    assert "joins it as a new member" in str(found[0])


def test_a_disk_that_has_everything_needs_nobody() -> None:
    whole = MemberDisk(TWO, frozenset(STORES))
    assert lost_stores(V2_3, whole) == ()
    assert plan_rebuild(V2_3, whole, knowledge_status(V2_3, facts_with())) == ()


def test_only_what_is_lost_is_given_back() -> None:
    disk = MemberDisk(TWO, frozenset({"queue", "object_store"}))
    (store,) = plan_rebuild(V2_3, disk, knowledge_status(V2_3, facts_with(ONE, THREE)))
    assert store.store == "etcd"


def test_a_second_one_that_is_lost_keeps_the_first_from_being_made_anew() -> None:
    assert codes(facts_with(ONE)) == ["etcd", "object_store", "queue"]
    with pytest.raises(Refused) as refused:
        plan_rebuild(V2_3, EMPTY, knowledge_status(V2_3, facts_with(ONE)))
    assert {p.code for p in refused.value.problems} == {"KNOWLEDGE_REBUILD_NO_QUORUM"}
    assert f"of 3 members {ONE} has it and answers; 2 others" in refused.value.problems[0].message


def test_an_object_store_that_is_not_writable_gives_nothing_back() -> None:
    assert codes(facts_with(ONE, THREE, writable=False)) == ["object_store"]


def test_the_only_member_has_nobody() -> None:
    values = V2_3.model_dump(mode="json", by_alias=True)
    values["knowledge"]["milvus"]["roles"] |= {"etcd": 1, "queue": 1, "object_store": 1}
    site = type(V2_3).model_validate(values)
    holder = next(n.name for n in members(site) if "etcd" in stores_on(site, n.name))
    with pytest.raises(Refused):
        plan_rebuild(
            site, MemberDisk(holder, frozenset()), knowledge_status(site, facts_with(ONE, THREE))
        )


@given(
    running=st.sets(st.sampled_from([ONE, THREE])),
    holds=st.sets(st.sampled_from(STORES)),
    writable=st.booleans(),
)
def test_nothing_is_rebuilt_of_what_the_others_do_not_have_by_majority(
    running: set[str], holds: set[str], writable: bool
) -> None:
    """Whatever is planned is exactly what is lost, from two others; else it is refused."""
    facts = facts_with(*sorted(running), writable=writable)
    disk = MemberDisk(TWO, frozenset(holds))
    lost = set(STORES) - holds
    refused = set(codes(facts, disk))
    if len(running) == 2:
        assert refused == (lost & {"object_store"} if not writable else set())
    else:
        assert refused == lost
