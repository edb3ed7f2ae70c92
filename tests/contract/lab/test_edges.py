"""Faults of balancers and of their virtual address, with real HAProxy and keepalived."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.errors import LabError
from lab.faults import apply as faults
from lab.faults import targets, vip
from lab.hypervisor.machine import Machine
from lab.instance import naming, network
from tests.contract.lab import wire
from tests.contract.lab.bench import Bench, until

HAPROXY = """defaults
  mode http
  timeout client 5s
  timeout connect 1s
  timeout server 5s
frontend f
  bind :8080
  http-request return status 200 content-type text/plain string ready
"""
KEEPALIVED = """vrrp_instance edges {{
  state BACKUP
  interface host0
  virtual_router_id 51
  priority {priority}
  advert_int 1
  unicast_src_ip {own}
  unicast_peer {{
    {peer}
  }}
  virtual_ipaddress {{
    {vip}/24
  }}
}}
"""
SOURCE = "deb [signed-by=/etc/apt/lab.asc] {url} trixie main\n"


def _install(bench: Bench, name: str) -> None:
    """Install the balancer and keepalived as a role would, from the lab's package source."""
    node = bench.machine(name)
    key = (bench.instance.root / "packages.asc").read_text()
    source = SOURCE.format(url=bench.instance.packages_url)
    targets.inside(node, "tee", "/etc/apt/lab.asc", stdin=key)
    targets.inside(node, "sh", "-c", "rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*")
    targets.inside(node, "tee", "/etc/apt/sources.list", stdin=source)
    targets.inside(node, "apt-get", "-qq", "update")
    install = [
        "apt-get",
        "-qq",
        "-y",
        "--no-install-recommends",
        "install",
        "haproxy",
        "keepalived",
    ]
    targets.inside(node, "env", "DEBIAN_FRONTEND=noninteractive", *install)
    targets.inside(node, "tee", "/etc/haproxy/haproxy.cfg", stdin=HAPROXY)
    targets.inside(node, "systemctl", "restart", "haproxy")


@pytest.fixture(scope="module")
def address(bench: Bench) -> str:
    """The virtual address."""
    return str(bench.instance.network.network_address + 90)


@pytest.fixture(scope="module")
def edges(bench: Bench, pair: tuple[Machine, Machine], address: str) -> Iterator[Bench]:
    """Two machines with HAProxy and keepalived; ``lab-a`` is preferred."""
    faults.heal(bench.instance, "all")
    names = [node.name for node in pair]
    for name in names:
        bench.power_on(name)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: _install(bench, name), names))
    for priority, own, peer in ((150, *names), (100, *reversed(names))):
        text = KEEPALIVED.format(
            priority=priority, own=bench.address(own), peer=bench.address(peer), vip=address
        )
        targets.inside(bench.machine(own), "tee", "/etc/keepalived/keepalived.conf", stdin=text)
        targets.inside(bench.machine(own), "systemctl", "restart", "keepalived")
    yield bench
    for name in names:
        bench.inside(name, "systemctl", "disable", "--now", "haproxy", "keepalived")


def _holders(bench: Bench, address: str) -> list[str]:
    return [n for n in ("lab-a", "lab-b") if address in vip.held_addresses(bench.machine(n))]


def _get(bench: Bench, address: str) -> str:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://{address}:8080/", timeout=2) as answer:
            return str(answer.read().decode())
    except OSError as error:
        return f"connect: {error}"


def test_a_killed_balancer_cuts_and_comes_back_when_healed(edges: Bench) -> None:
    own = edges.address("lab-b")
    until("it answers", lambda: _get(edges, own) == "ready")
    fault = faults.apply(edges.instance, "balancer-kill", "lab-b", {"stay_down": "yes"})
    show = ("systemctl", "show", "--value", "haproxy", "-p")
    assert edges.inside("lab-b", *show, "Restart").strip() == "no", "it was always, in Debian's"
    until("it is down", lambda: edges.inside("lab-b", *show, "ActiveState").strip() == "failed")
    assert "refused" in _get(edges, own) or "connect" in _get(edges, own)
    faults.heal(edges.instance, fault.id)
    until("it answers again", lambda: _get(edges, own) == "ready")


def test_the_virtual_address_moves_and_returns(edges: Bench, address: str) -> None:
    until("lab-a holds it", lambda: _holders(edges, address) == ["lab-a"])
    with pytest.raises(LabError, match="VIP_ELSEWHERE"):
        faults.apply(edges.instance, "vip-move", "lab-b", {})
    until("it answers there", lambda: _get(edges, address) == "ready")
    fault = faults.apply(edges.instance, "vip-move", "lab-a", {})
    assert _holders(edges, address) == ["lab-b"]
    until("it answers at the other", lambda: _get(edges, address) == "ready")
    faults.heal(edges.instance, fault.id)
    until("lab-a holds it again", lambda: _holders(edges, address) == ["lab-a"])


def test_a_holder_that_is_cut_off_loses_it_too(edges: Bench, address: str) -> None:
    until("lab-a holds it", lambda: _holders(edges, address) == ["lab-a"])
    link = naming.link_name(edges.instance.id, "lab-a")
    fault = faults.apply(edges.instance, "machine-cut", "lab-a", {})
    assert f'"{link}"' in network.elements(edges.instance.id)["cut"]
    until("the other takes it", lambda: "lab-b" in _holders(edges, address))
    faults.heal(edges.instance, fault.id)
    until("one holds it", lambda: _holders(edges, address) == ["lab-a"])
    until("lab-b reaches lab-a", lambda: _serves(edges))


def _serves(bench: Bench) -> bool:
    wire.serve(bench, "lab-a")
    return wire.reaches(bench, "lab-b", "lab-a")
