"""Memory of the query nodes against what collections are expected to hold."""

from __future__ import annotations

from typing import Any

import pytest

from permafrost.errors import Problem
from permafrost.planning.knowledge import members, milvus_roles, plain_connections, stores_on
from permafrost.planning.preflight_knowledge import (
    bytes_per_vector,
    knowledge_checks,
    needed_mib,
    object_store_checks,
    room_mib,
)
from permafrost.planning.preflight_report import PreflightCheck, PreflightLevel
from permafrost.planning.unsupported import unsupported
from permafrost.site.checks import check_site
from permafrost.site.knowledge import Collection
from permafrost.site.model import Site
from tests.golden.ansible.rendering import golden_site
from tests.unit.planning.test_knowledge import site_with

MILLION = 1_000_000


def site_for(memory_mib: int = 65536, **collections: Any) -> Site:
    vm = {"cpus": 16, "memory_mib": memory_mib, "disk_gib": 60}
    return site_with(vm=vm, collections=collections)


def checked(site: Site) -> PreflightCheck:
    (found,) = knowledge_checks(site)
    return found


@pytest.mark.parametrize(
    ("index", "size"),
    [
        ("FLAT", 4 * 768 + 8),
        ("IVF_FLAT", 4 * 768 + 8),
        ("IVF_SQ8", 768 + 8),
        ("HNSW", 4 * 768 + 2 * 16 * 4 + 8),
    ],
)
def test_bytes_of_a_vector_by_its_index(index: str, size: int) -> None:
    collection = Collection.model_validate({"vectors": 1, "dimension": 768, "index": index})
    assert bytes_per_vector(collection) == size


def test_what_fits_with_a_member_lost_is_well_and_says_how_much() -> None:
    found = checked(site_for(docs={"vectors": 10 * MILLION, "dimension": 384}))
    assert found.level is PreflightLevel.OK
    assert "10,000,000 x 384 HNSW at 1672 bytes" in found.needed
    assert "2 replicas" in found.needed


def test_what_fits_only_while_nothing_is_lost_is_refused() -> None:
    site = site_for(docs={"vectors": 20 * MILLION, "dimension": 384})
    room = room_mib(site)
    assert len(room) == 2
    assert max(room.values()) < needed_mib(site) < sum(room.values())
    found = checked(site)
    assert found.level is PreflightLevel.PROBLEM
    assert "lost" in found.seen
    assert "IVF_SQ8" in found.hint
    smaller = site_for(docs={"vectors": 20 * MILLION, "dimension": 384, "index": "IVF_SQ8"})
    assert checked(smaller).level is PreflightLevel.OK


def test_collections_add_up_and_every_replica_counts() -> None:
    one = needed_mib(site_for(a={"vectors": MILLION, "dimension": 768}))
    both = needed_mib(
        site_for(
            a={"vectors": MILLION, "dimension": 768}, b={"vectors": MILLION, "dimension": 768}
        )
    )
    assert both == 2 * one
    single = site_with(
        roles={"query": 1}, collections={"a": {"vectors": MILLION, "dimension": 768}}
    )
    assert abs(2 * needed_mib(single) - one) <= 1
    assert "1 replicas" in checked(single).needed


def test_only_members_with_query_nodes_have_room_and_stores_take_of_it() -> None:
    site = site_for()
    roles = milvus_roles(site)
    assert set(room_mib(site)) == {n for n in roles if roles[n].get("query")}
    assert all(room < 65536 * 0.9 for room in room_mib(site).values())
    assert room_mib(site_for(memory_mib=2048)) == dict.fromkeys(room_mib(site), 0)


def test_where_nothing_is_expected_nothing_is_said() -> None:
    assert list(knowledge_checks(site_for())) == []


def external() -> Site:
    return golden_site("narvik")


def test_an_external_store_and_an_etcd_that_encrypts_are_as_the_file_says() -> None:
    site = external()
    assert site.knowledge is not None
    assert site.knowledge.milvus.roles.object_store == 0
    assert not site.knowledge.milvus.object_store_tls, "unless the file says so"
    assert check_site(site) == []
    assert unsupported(site) == ()
    assert not any("object_store" in stores_on(site, n.name) for n in members(site))
    assert not any("MinIO" in what for what in plain_connections(site))
    assert any("MinIO" in what for what in plain_connections(site_with()))
    assert not any("etcd" in what for what in plain_connections(site))
    assert any("etcd" in what for what in plain_connections(site_with()))


def test_an_external_object_store_is_a_check_of_its_own() -> None:
    (well,) = object_store_checks(external(), ())
    assert (well.code, well.level) == ("OBJECT_STORE", PreflightLevel.OK)
    dead = Problem("OBJECT_STORE_UNREACHABLE", "it is silent", "here", "bring it back")
    (found,) = object_store_checks(external(), (dead,))
    assert found.level is PreflightLevel.PROBLEM
    assert found.as_problem().code == dead.code
    assert list(object_store_checks(site_with(), ())) == []
