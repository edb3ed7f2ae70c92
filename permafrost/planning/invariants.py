"""What no operation of ours may break, in words and in code.

1. The replicas of an endpoint that serve never fall below ``min_ready`` by our doing. Taking
   away what serves nobody takes nothing away.
2. Never two failure domains down by our doing: while one is in maintenance no other is begun,
   nor while a host with VMs of the site is closed that nobody's record has: it died in
   maintenance and was left, or somebody closed it by hand.
3. Nothing comes into rotation whose digest is not the pinned one, or which has not just proven
   itself: its node says ADMITTED, with that digest.
4. A majority of the knowledge members goes on running: etcd, brokers and object storage of that
   tier each need one. What is off already counts as gone.

Each function returns what would be broken, or nothing. Planners ask before they plan, steps ask
again immediately before the effect, and the state machine in tests/properties asks after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from permafrost.errors import Problem
from permafrost.facts import NodeFacts
from permafrost.planning.lifecycle import MaintenanceRecord
from permafrost.planning.live import LiveState
from permafrost.site.model import Site
from permafrost.topology import Node, Tier, nodes, replicas


def serving_without(
    site: Site, live: LiveState, endpoint: str, away: Collection[str]
) -> tuple[str, ...]:
    """Return the replicas of an endpoint that serve and would go on serving."""
    return tuple(
        n.name for n in replicas(site, endpoint) if n.name not in away and live.serves(n.name)
    )


def takes_requests(live: LiveState, replica: str) -> bool:
    """Whether any edge sends a replica requests."""
    return any(s.takes_requests for s in live.traffic.of(replica))


def floor_problems(site: Site, live: LiveState, away: Iterable[Node]) -> tuple[Problem, ...]:
    """Return the endpoints that would fall below ``min_ready`` without these replicas."""
    leaving = {n.name: n for n in away if n.endpoint in site.inference}
    problems = []
    for endpoint in sorted({n.endpoint for n in leaving.values()}):
        members = [n for n in leaving.values() if n.endpoint == endpoint]
        if not any(takes_requests(live, n.name) for n in members):
            continue
        left = serving_without(site, live, endpoint, leaving)
        floor = site.inference[endpoint].min_ready
        if len(left) < floor:
            problems.append(
                Problem(
                    "BELOW_MIN_READY",
                    f"{endpoint} must keep {floor} serving; without "
                    f"{', '.join(n.name for n in members)} "
                    f"{', '.join(left) or 'nobody'} would serve{_why(site, live, endpoint)}",
                    endpoint,
                    "bring the missing ones back first (`permafrost undrain REPLICA`)",
                )
            )
    return tuple(problems)


def quorum_problems(site: Site, live: LiveState, stopping: Collection[str]) -> tuple[Problem, ...]:
    """Return that the knowledge tier would lose its majority without these machines."""
    names = [n.name for n in nodes(site) if n.tier is Tier.KNOWLEDGE]
    running = {n for n in names if not live.is_gone(n)}
    left, need = sorted(running - set(stopping)), len(names) // 2 + 1
    if not running & set(stopping) or len(left) >= need:
        return ()
    gone = sorted(set(names) - running)
    return (
        Problem(
            "QUORUM_LOST",
            f"etcd, brokers and object storage need {need} of {len(names)} members; "
            f"{', '.join(left) or 'none'} would run"
            + (f", {', '.join(gone)} does not run already" if gone else ""),
            "knowledge",
            "bring back what is off first: `permafrost status` shows the members",
        ),
    )


def domain_problems(
    records: Iterable[MaintenanceRecord], hosts: Collection[str]
) -> tuple[Problem, ...]:
    """Return the maintenance of other failure domains that is under way."""
    return tuple(
        Problem(
            "OTHER_MAINTENANCE",
            f"{r.host} is in maintenance ({r.state.value}, {r.owner}, since {r.at})",
            r.host,
            f"end it first: `permafrost maintenance exit {r.name}`",
        )
        for r in records
        if r.host not in hosts
    )


def closed_problems(
    site: Site, live: LiveState, records: Iterable[MaintenanceRecord], hosts: Collection[str]
) -> tuple[Problem, ...]:
    """Return the other hosts with VMs of the site that are closed without a record of ours.

    One that vCenter has lost is not closed but lost: whether enough serve without it is asked.
    """
    ours = {n.name for n in nodes(site)}
    known = {r.host for r in records} | set(hosts)
    held = {vm.host for vm in live.inventory.vms if vm.name in ours}
    return tuple(
        Problem(
            "HOST_CLOSED",
            "it is in maintenance mode, and no maintenance of ours has it: it died in one and was "
            "left, or somebody closed it by hand",
            host.name,
            f"open it first: `permafrost maintenance exit {host.name}`",
        )
        for host in live.inventory.hosts
        if host.in_maintenance and host.connected and host.name in held - known
    )


def proof_problem(node: str, facts: NodeFacts, pinned: str) -> Problem | None:
    """Return why a replica must not come into rotation, if it must not."""
    if facts.state != "ADMITTED":
        reason = f": {facts.reason}" if facts.reason else ""
        return Problem(
            "REPLICA_NOT_PROVEN",
            f"its node says {facts.state}{reason}",
            node,
            f"`permafrost undrain {node}` proves it first",
        )
    if facts.checkpoint != pinned:
        return Problem(
            "CHECKPOINT_DIGEST_MISMATCH",
            f"serves {facts.checkpoint}, the site pins {pinned}",
            node,
            "run `permafrost deploy`; it stays out of rotation until then",
        )
    return None


def _why(site: Site, live: LiveState, endpoint: str) -> str:
    away = []
    for node in replicas(site, endpoint):
        if not live.serves(node.name):
            state, reason = live.state_of(node)
            away.append(f"; {node.name} is {state.value}" + (f" ({reason})" if reason else ""))
    return "".join(away)
