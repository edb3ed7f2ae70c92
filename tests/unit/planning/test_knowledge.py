"""Which member runs what, for each version of Milvus; and when the tier is called ready."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from permafrost.adapters.ansible.knowledge_variables import edge_variables
from permafrost.facts import CanaryAnswers, MemberState
from permafrost.planning import canaries
from permafrost.planning.knowledge import (
    first_coordinators,
    members,
    milvus_roles,
    proxies,
    spares,
    stores_on,
    units_of,
)
from permafrost.planning.knowledge_lacks import KnowledgeFacts
from permafrost.planning.knowledge_status import COORDINATORS, KnowledgeStatus, knowledge_status
from permafrost.planning.milvus_versions import VERSIONS, MilvusVersion
from permafrost.planning.unsupported import unsupported
from permafrost.site.checks import check_site
from permafrost.site.model import Site
from tests.golden.ansible.rendering import golden_site

SWITCH_S, CLIENT_S = 8.0, 15.0
"""How long coordinators were seen to take over on a lab, and what a client waits for an answer."""


def site_with(**milvus: Any) -> Site:
    values = golden_site("bergen").model_dump(mode="json", by_alias=True)
    values["knowledge"]["milvus"] |= milvus
    return Site.model_validate(values)


V2_3 = site_with()
V2_6 = site_with(version="2.6", roles={"index": 0, "streaming": 3})

V2_3_ROLES = {"coordinators": 2, "data": 2, "index": 1, "proxies": 2}


@pytest.mark.parametrize("site", [V2_3, V2_6], ids=["2.3.5", "2.6"])
def test_every_role_of_the_site_file_runs_somewhere_and_nothing_else(site: Site) -> None:
    assert site.knowledge is not None
    assert check_site(site) == []
    wanted = {r: n for r, n in site.knowledge.milvus.roles.model_dump().items() if n}
    found: dict[str, int] = {}
    for node in members(site):
        units = [u.role for u in units_of(site, node.name) if not u.is_spare]
        for role in (*stores_on(site, node.name), *units):
            found[role] = found.get(role, 0) + 1
    assert found == wanted


def test_a_member_with_query_nodes_has_one_more_that_stands_still() -> None:
    have = {n.name for n in members(V2_3) if milvus_roles(V2_3)[n.name].get("query")}
    assert spares(V2_3) == dict.fromkeys(have, "milvus-query-spare")
    assert spares(V2_6) == {}


@pytest.mark.parametrize("site", [V2_3, V2_6], ids=["2.3.5", "2.6"])
@pytest.mark.parametrize("count", [3, 5])
def test_no_two_processes_of_a_member_meet_on_a_port(site: Site, count: int) -> None:
    assert site.knowledge is not None
    roles = {**site.knowledge.milvus.roles.model_dump(), "query": 12, "data": 7, "proxies": 7}
    crowded = site_with(version=site.knowledge.milvus.version, roles=roles, nodes=count)
    for node in members(crowded):
        taken = [2379, 2380, 9000, 9010, 9092, 9093]
        for unit in units_of(crowded, node.name):
            taken += [*unit.ports.values(), unit.metrics_port]
        assert len(taken) == len(set(taken))
        names = [u.name for u in units_of(crowded, node.name)]
        assert len(names) == len(set(names))


def test_more_query_nodes_move_no_other_process_to_another_port() -> None:
    """An edge asks a proxy at its metrics port: it would lose one whose port has changed."""
    fewer, more = (site_with(roles={**V2_3_ROLES, "query": count}, nodes=3) for count in (4, 6))
    assert edge_variables(fewer) == edge_variables(more)
    for node in members(fewer):
        after = {u.name: u for u in units_of(more, node.name)}
        assert all(after[u.name] == u for u in units_of(fewer, node.name))


@pytest.mark.parametrize("site", [V2_3, V2_6], ids=["2.3.5", "2.6"])
def test_any_one_member_may_be_lost(site: Site) -> None:
    roles = milvus_roles(site)
    for lost in members(site):
        left = {n.name for n in members(site)} - {lost.name}
        for quorum in ("etcd", "object_store", "queue"):
            assert sum(roles[n].get(quorum, 0) for n in left) >= 2
        for process in VERSIONS[site.knowledge.milvus.version].processes:  # type: ignore[union-attr]
            if process.role != "index":  # new indexes wait until it is back
                assert sum(roles[n].get(process.role, 0) for n in left) >= 1
        assert any(node.name in left for node, _ in proxies(site))


@pytest.mark.parametrize("count", [3, 4, 5, 8])
def test_no_query_node_stands_beside_the_coordinators_that_begin_active(count: int) -> None:
    site = site_with(nodes=count)
    roles, first = milvus_roles(site), first_coordinators(site).name
    assert roles[first]["coordinators"] == 1
    assert "query" not in roles[first]
    homes = [n for n in roles if roles[n].get("query")]
    assert len(homes) >= 2, "one of them may be lost"


def test_two_members_both_have_query_nodes() -> None:
    roles = {"etcd": 1, "object_store": 1, "queue": 1}
    assert all(r.get("query") == 2 for r in milvus_roles(site_with(nodes=2, roles=roles)).values())


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_a_query_node_may_hand_over_before_it_is_killed(version: MilvusVersion) -> None:
    (query,) = (p for p in version.processes if p.role == "query")
    assert query.stop_s > version.settings["common"]["gracefulStopTimeout"]


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_a_proxy_asks_coordinators_for_as_long_as_they_change_places(
    version: MilvusVersion,
) -> None:
    """As Milvus' clients do: doubled waits between the attempts, up to the longest one."""
    client = version.settings["grpc"]["client"]
    (proxy,) = (p for p in version.processes if p.public)
    attempts = int(proxy.environment["GRPC_CLIENT_MAXMAXATTEMPTS"])
    waits = [
        min(client["initialBackOff"] * 2**i, client["maxBackoff"]) for i in range(attempts - 1)
    ]
    assert SWITCH_S < sum(waits) < CLIENT_S


def test_the_layout_that_nothing_has_run_is_refused_at_deployment() -> None:
    assert [p.code for p in unsupported(V2_6)] == ["MILVUS_VERSION_UNVERIFIED"]
    assert unsupported(V2_3) == ()
    assert [p.code for p in unsupported(site_with(images=None))] == ["MILVUS_IMAGES_MISSING"]


def seen(site: Site) -> KnowledgeFacts:
    names = [n.name for n in members(site)]
    address = {n.name: str(n.address) for n in members(site)}
    assert site.knowledge is not None
    roles = COORDINATORS[site.knowledge.milvus.version]
    sessions = tuple((role, f"{address[names[0]]}:1") for role in roles)
    sessions += tuple((f"{role}-7", f"{address[names[1]]}:1") for role in roles)
    states = {
        name: MemberState(
            name,
            {u.name: "active" for u in units_of(site, name)},
            "bergen-knowledge-02",
            3,
            True,
            3,
            0,
            sessions,
        )
        for name in names
    }
    doors = {n.name: CanaryAnswers(n.name, 16, 16) for n, _ in proxies(site)}
    return KnowledgeFacts(states, {}, doors, {"docs": 100}, "", {})


def problems(facts: KnowledgeFacts) -> str:
    return "\n".join(f"{m}: {t}" for m, t, _ in knowledge_status(V2_3, facts).problems)


def with_state(facts: KnowledgeFacts, name: str, **change: Any) -> KnowledgeFacts:
    changed = replace(facts.states[name], **change)
    return replace(facts, states={**facts.states, name: changed})


FIRST = "bergen-knowledge-01"


def test_a_tier_that_answers_right_is_ready_and_says_who_is_active() -> None:
    status: KnowledgeStatus = knowledge_status(V2_3, seen(V2_3))
    assert status.is_ready
    assert status.problems == ()
    assert {c["role"]: (c["active"], c["standby"]) for c in status.coordinators} == {
        role: (FIRST, ["bergen-knowledge-02"]) for role in COORDINATORS["2.3.5"]
    }
    assert status.quorums["etcd"] == {
        "members": 3,
        "answering": 3,
        "leader": "bergen-knowledge-02",
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"canaries": {}}, f"{FIRST}: its proxy: not asked"),
        ({"collections": {"docs": 50}}, ": collection docs is loaded to 50 %"),
        ({"silent": {FIRST: "no answer"}}, f"{FIRST}: no answer"),
        ({"blind": "no proxy says what is loaded"}, "no proxy says"),
        ({"states": {}}, "no rootcoord is active"),
    ],
)
def test_what_keeps_it_from_being_ready(change: dict[str, Any], said: str) -> None:
    assert said in problems(replace(seen(V2_3), **change))


def test_one_wrong_answer_without_an_error_is_not_ready() -> None:
    wrong = CanaryAnswers(FIRST, 16, 15, 1)
    facts = seen(V2_3)
    facts = replace(facts, canaries={**facts.canaries, FIRST: wrong})
    assert problems(facts) == f"{FIRST}: its proxy: 1 of 16 known answers are wrong"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"units": {"milvus-query": "failed"}}, "milvus-query is failed"),
        ({"etcd_answering": 2}, "etcd: 2 members answer it"),
        ({"store_is_writable": False}, "the object store may not be written to"),
        ({"brokers": 2}, "queue: 2 brokers are in the cluster"),
        ({"under_replicated": 4}, "queue: 4 partitions lack a copy"),
    ],
)
def test_what_one_member_sees_counts(change: dict[str, Any], said: str) -> None:
    assert problems(with_state(seen(V2_3), FIRST, **change)) == f"{FIRST}: {said}"


def test_the_known_answers_are_known_without_a_tie() -> None:
    for question in canaries.QUESTIONS:
        asked = canaries.vector(question)
        distances = sorted(
            sum((a - b) ** 2 for a, b in zip(asked, canaries.vector(row), strict=True))
            for row in range(canaries.ROWS)
        )
        nearest = distances[: canaries.NEIGHBOURS + 1]
        assert len(set(nearest)) == len(nearest)
        assert canaries.neighbours(question)[0] == question


def test_a_member_that_is_to_be_mended_hinders_nobody_but_must_not_be_relied_on_when_away() -> (
    None
):
    """Its etcd and its broker are down, and the others say so: that is what is to be mended."""
    one, two, three = (n.name for n in members(V2_3))
    broken = with_state(seen(V2_3), three, units={"etcd": "failed", "kafka": "failed"})
    for name in (one, two):
        broken = with_state(broken, name, etcd_answering=2, brokers=2, under_replicated=7)
    assert knowledge_status(V2_3, broken).problems
    assert knowledge_status(V2_3, broken, mending=(three,)).is_ready
    assert not knowledge_status(V2_3, broken, mending=(two,)).is_ready
    # Coordinators are active on the first: it may be mended so, and is not away yet.
    assert knowledge_status(V2_3, seen(V2_3), mending=(one,)).is_ready
    assert not knowledge_status(V2_3, seen(V2_3), away=(one,)).is_ready


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"store_is_writable": False}, "KNOWLEDGE_STORE_DEAD"),
        ({"disk_free_mib": 300, "disk_mib": 10_000}, "KNOWLEDGE_DISK_FULL"),
        ({"disk_free_mib": 3_000, "disk_mib": 200_000}, "KNOWLEDGE_DISK_FULL"),
        ({"healing": 2}, "KNOWLEDGE_COPYING"),
        ({"under_replicated": 4}, "KNOWLEDGE_COPYING"),
        ({"brokers": 2}, "KNOWLEDGE_NOT_READY"),
    ],
)
def test_what_has_a_remedy_of_its_own_has_a_code_of_its_own(
    change: dict[str, Any], code: str
) -> None:
    found = knowledge_status(V2_3, with_state(seen(V2_3), FIRST, **change))
    assert [p.code for p in found.problems] == [code]
    assert found.as_dict()["problems"][0]["code"] == code


def test_a_disk_with_room_and_one_that_says_nothing_are_no_problem() -> None:
    for said in ({"disk_free_mib": 5_000, "disk_mib": 200_000}, {"disk_free_mib": None}):
        assert knowledge_status(V2_3, with_state(seen(V2_3), FIRST, **said)).is_ready


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (
            "SSL_ERROR_SSL: CERTIFICATE_VERIFY_FAILED: self signed certificate",
            "KNOWLEDGE_CERTIFICATE",
        ),
        ("failed to connect to all addresses; Ssl handshake failed", "KNOWLEDGE_CERTIFICATE"),
        ("connection refused", "KNOWLEDGE_NOT_READY"),
    ],
)
def test_a_wrong_certificate_is_told_from_a_proxy_that_is_away(error: str, code: str) -> None:
    facts = seen(V2_3)
    wrong = {**facts.canaries, FIRST: CanaryAnswers(FIRST, error=error)}
    found = knowledge_status(V2_3, replace(facts, canaries=wrong))
    assert [p.code for p in found.problems] == [code]
