"""What a member is told of who leads, by its processes, its version of Milvus and its TLS."""

from __future__ import annotations

from typing import Any

import pytest

from permafrost.adapters.ansible.knowledge_leaders import leaders_settings, query_ports
from permafrost.adapters.ansible.knowledge_variables import member_variables
from permafrost.planning.knowledge import members, version_of
from permafrost.planning.milvus_versions import KEPT_S
from permafrost.site.model import Site
from tests.golden.ansible.rendering import golden_site

ETCD = "http://127.0.0.1:12379"


def site_2_6() -> Site:
    values = golden_site("bergen").model_dump(mode="json", by_alias=True)
    values["knowledge"]["milvus"] |= {"version": "2.6", "roles": {"index": 0, "streaming": 3}}
    return Site.model_validate(values)


def told(site: Site) -> dict[str, dict[str, Any]]:
    return {node.name: member_variables(site, node) for node in members(site)}


def test_a_proxy_is_told_at_its_internal_port_and_nobody_where_there_is_none() -> None:
    site = golden_site("bergen")
    one, two, three = (leaders_settings(site, node, ETCD) for node in members(site))
    assert one == {
        "address": "10.20.0.24",
        "etcd": ETCD,
        "root": "bergen",
        "tls": {},
        "proxy": "10.20.0.24:19529",
        "public": "10.20.0.24:19530",
    }
    assert two["proxy"] == "10.20.0.25:19529"
    assert three["proxy"] == three["public"] == "", "it has none"


def test_etcd_by_tls_is_spoken_to_with_the_certificate_of_the_member() -> None:
    site = golden_site("hamar")
    for node in members(site):
        found = member_variables(site, node)["knowledge_leaders_settings"]
        assert found["tls"] == {
            "ca": "/etc/haproxy/tls/ca.pem",
            "own": "/etc/haproxy/tls/server.pem",
        }
        assert found["etcd"] == "https://127.0.0.1:12379", "by the balancer on it"


def test_each_query_node_is_emptied_at_its_own_port() -> None:
    site = golden_site("bergen")
    assert [query_ports(site, node) for node in members(site)] == [
        {},
        {"milvus-query-1": 21123, "milvus-query-2": 21133, "milvus-query-spare": 21125},
        {"milvus-query-1": 21123, "milvus-query-2": 21133, "milvus-query-spare": 21125},
    ]


@pytest.mark.parametrize("name", ["bergen", "hamar", "narvik"])
def test_proxies_that_keep_who_leads_wait_and_no_other_process_does(name: str) -> None:
    for variables in told(golden_site(name)).values():
        waits = {u["role"] for u in variables["milvus_units"] if u["waits_for_leaders"]}
        has = {u["role"] for u in variables["milvus_units"]}
        assert waits == has & {"proxies"}
        assert variables["milvus_settings"]["proxy"]["shardLeaderCacheInterval"] == KEPT_S
        assert bool(variables["knowledge_leaders_settings"]["proxy"]) == bool(waits)


def test_2_6_has_no_such_service_and_empties_nothing() -> None:
    site = site_2_6()
    assert not version_of(site).pins_leaders
    for variables in told(site).values():
        assert "knowledge_leaders_settings" not in variables, "the role is left out without it"
        assert variables["knowledge_state_query_ports"] == {}
        assert not any(unit["waits_for_leaders"] for unit in variables["milvus_units"])
        assert "shardLeaderCacheInterval" not in str(variables["milvus_settings"])
