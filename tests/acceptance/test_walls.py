"""Who reaches what: connections between all machines, tried, equal the matrix."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

SCAN = """
import asyncio, json, sys
found, gate = {}, asyncio.Semaphore(400)
async def dial(target, port):
    async with gate:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(target, port), 5)
        except (OSError, asyncio.TimeoutError):
            return
        found[target].append(port)
        writer.close()
async def main():
    for target, ports in json.loads(sys.argv[1]).items():
        found[target] = []
        ports = range(1, 65536) if ports == "all" else ports
        await asyncio.gather(*(dial(target, port) for port in ports))
    print(json.dumps(found))
asyncio.run(main())
"""
SSH, NODE = 22, 8443
On = Callable[[str], Any]


def dial(origin: Any, what: dict[str, list[int] | str]) -> dict[str, set[int]]:
    """Return, of addresses and ports, those that a node (None: this computer) can connect to."""
    if origin is None:
        argv = [sys.executable, "-c", SCAN, json.dumps(what)]
        text = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True).stdout
    else:
        text = origin.check_output("python3 -c %s %s", SCAN, json.dumps(what))
    return {address: set(ports) for address, ports in json.loads(text).items()}


def listening(node: Any) -> set[int]:
    """Return every port that something on a node listens at, whoever may reach it."""
    lines = node.check_output("ss -Hltn").splitlines()
    return {int(line.split()[3].rpartition(":")[2]) for line in lines}


def test_what_each_machine_reaches_is_the_matrix(
    on: On, status: Callable[[], dict[str, Any]], instance: dict[str, Any]
) -> None:
    seen = status()
    address = {m["name"]: m["address"] for m in instance["machines"]}
    replicas = [r["name"] for e in seen["endpoints"] for r in e["replicas"]]
    edges = [e["name"] for e in seen["edges"]]
    nodes = {name: on(name) for name in [*replicas, *edges]}
    endpoints = {int(e["address"].rpartition(":")[2]) for e in seen["endpoints"]}
    with ThreadPoolExecutor(4) as pool:
        ports = set[int]().union(*pool.map(listening, nodes.values()))
        assert {SSH, NODE, 8000, 8001, 8002} <= ports, "Triton's own are among what is tried"
        wanted: dict[str, list[int] | str] = {address[n]: sorted(ports) for n in nodes}
        found = dict(
            zip(
                [None, *nodes],
                pool.map(lambda origin: dial(origin, wanted), [None, *nodes.values()]),
                strict=True,
            )
        )

    def meant(origin: str | None, target: str) -> set[int]:
        if target in edges:
            return {SSH, *endpoints}
        return {SSH, NODE} if origin in edges else {SSH}

    wrong = {
        (origin, target): reached[address[target]]
        for origin, reached in found.items()
        for target in nodes
        if origin != target and reached[address[target]] != meant(origin, target)
    }
    assert not wrong
    target = address[replicas[-1]]
    for origin in (edges[0], replicas[0]):
        every = dial(nodes[origin], {target: "all"})[target]
        assert every == meant(origin, replicas[-1]), f"{origin}, every port"


def test_control_without_the_walls_a_replica_reaches_another(
    on: On, instance: dict[str, Any]
) -> None:
    (address,) = (m["address"] for m in instance["machines"] if m["name"] == "lab-pulse-02")
    target, other = on("lab-pulse-02"), on("lab-chat-01")
    target.check_output("nft delete table inet permafrost_walls")
    try:
        assert dial(other, {address: [SSH, NODE]})[address] == {SSH, NODE}
    finally:
        target.check_output("systemctl reload nftables")
    assert dial(other, {address: [SSH, NODE]})[address] == {SSH}
    assert target.check_output("systemctl is-enabled nftables") == "enabled"
