"""The matrix: edges reach replicas, clients reach edges, nobody reaches anything else."""

from __future__ import annotations

from ipaddress import IPv4Network

import yaml

from permafrost import topology
from permafrost.planning.walls import openings, time_servers, vrrp_peers
from permafrost.site.model import Site
from permafrost.topology import NODE_PORT, Tier
from tests.fakes.site import document, registry_site, small_site
from tests.fakes.sites import example_site
from tests.golden.ansible.rendering import ROLES


def site_with(**edge: object) -> Site:
    values = document()
    values["edge"] = {**values.get("edge", {}), **edge}
    return Site.model_validate(values)


def test_a_replica_is_reached_by_edges_alone() -> None:
    site = small_site()
    edges = {str(e.address) for e in topology.edges(site)}
    for node in topology.nodes(site):
        if node.tier is Tier.INFERENCE:
            found = {o.port: o.sources for o in openings(site, node)}
            assert set(found) == {22, NODE_PORT}
            assert set(found[NODE_PORT]) == edges


def test_an_edge_is_reached_at_its_endpoints_by_those_who_may_ask() -> None:
    site = site_with(clients={"networks": ["10.9.0.0/16", "10.8.1.0/24"]})
    (edge, *_) = topology.edges(site)
    found = {o.port: o.sources for o in openings(site, edge)}
    assert set(found) == {22, *(e.port for e in site.inference.values())}
    for endpoint in site.inference.values():
        assert {IPv4Network(s) for s in found[endpoint.port]} == {
            IPv4Network("10.9.0.0/16"), IPv4Network("10.8.1.0/24")
        }  # fmt: skip
    open_to_all = openings(site_with(), edge)
    assert all(o.sources == () for o in open_to_all)


def test_edges_with_a_common_address_ask_each_other_whether_they_take_connections() -> None:
    """Joined with the clients' networks: in a set of nftables nothing overlaps."""
    site = site_with(nodes=2, vip="10.64.1.9", clients={"networks": ["10.9.0.0/16"]})
    first, second = topology.edges(site)
    port = next(iter(site.inference.values())).port
    found = {o.port: o.sources for o in openings(site, first)}
    assert set(found[port]) == {"10.9.0.0/16", str(second.address)}
    around = site_with(nodes=2, vip="10.64.1.9", clients={"networks": ["10.0.0.0/8"]})
    assert {o.sources for o in openings(around, first) if o.port == port} == {("10.0.0.0/8",)}


def test_clients_of_the_knowledge_tier_come_through_the_edges_too() -> None:
    site = example_site("three-racks")
    assert site.knowledge is not None
    (edge, *_) = topology.edges(site)
    assert site.knowledge.milvus.port in {o.port for o in openings(site, edge)}


def test_edges_hear_each_other_where_they_share_an_address() -> None:
    site = site_with(nodes=2, vip="10.64.1.9")
    first, second = topology.edges(site)
    assert vrrp_peers(site, first) == (str(second.address),)
    (replica, *_) = topology.replicas(site, "chat")
    assert vrrp_peers(site, replica) == ()
    alone = site_with(nodes=1, vip=None)
    assert vrrp_peers(alone, topology.edges(alone)[0]) == ()


def test_the_port_is_the_roles_own() -> None:
    for role, key in (
        ("node_haproxy", "node_haproxy_port"),
        ("edge_haproxy", "edge_haproxy_node_port"),
    ):
        values = yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())
        assert values[key] == NODE_PORT


def test_each_node_asks_the_servers_of_its_own_network_for_the_time() -> None:
    values = document()
    values["network"]["time_servers"] = ["10.64.1.2"]
    values["networks"] = {
        "clients": {
            "port_group": "clients",
            "subnet": "10.65.1.0/24",
            "gateway": "10.65.1.1",
            "addresses": "10.65.1.20-10.65.1.29",
            "time_servers": ["10.65.1.2", "10.65.1.3"],
        }
    }
    values["edge"] = {**values.get("edge", {}), "network": "clients", "vip": None}
    site = Site.model_validate(values)
    for node in topology.nodes(site):
        wanted = ("10.65.1.2", "10.65.1.3") if node.tier is Tier.EDGE else ("10.64.1.2",)
        assert time_servers(site, node) == wanted
    assert {time_servers(small_site(), n) for n in topology.nodes(small_site())} == {()}


def reached(site: Site) -> dict[int, tuple[str, ...]]:
    node = topology.registry_node(site)
    assert node is not None
    return {o.port: o.sources for o in openings(site, node)}


def test_a_registry_of_the_sites_own_is_reached_by_those_who_pull_and_those_named() -> None:
    site = registry_site(clients=["10.9.0.0/16"])
    found = reached(site)
    assert set(found) == {22, 5000}
    allowed = [IPv4Network(s) for s in found[5000]]
    assert IPv4Network("10.9.0.0/16") in allowed
    for node in topology.nodes(site):
        pulls = node.tier is Tier.INFERENCE
        assert any(node.address in network for network in allowed) is pulls, node.name


def test_a_set_of_nftables_has_no_address_twice() -> None:
    found = [IPv4Network(s) for s in reached(registry_site(clients=["10.64.0.0/16"]))[5000]]
    assert found == [IPv4Network("10.64.0.0/16")]


def test_without_networks_everybody_may_ask_a_registry_of_the_sites_own() -> None:
    assert reached(registry_site())[5000] == ()


def test_a_registry_that_is_there_is_no_node() -> None:
    assert topology.registry_node(small_site()) is None
