"""Whether the nodes' clocks are right: certificates, leases and etcd count on it.

Pure. "Right" is this machine's clock; a node is only blamed for what the question's own duration
cannot explain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from permafrost.facts import ClockFacts
from permafrost.planning.snapshot import Inventory
from permafrost.planning.walls import time_servers
from permafrost.runbook.findings import Finding, Level
from permafrost.site.model import Site
from permafrost.topology import Node, nodes

MOST_OFF_S = 1.0
"""From which difference on etcd's members complain of each other's clocks."""
PRODUCTION = "VMs with a clock each, kept by chrony from `network.time_servers`"


def nodes_on(site: Site, inventory: Inventory) -> tuple[Node, ...]:
    """Return the site's nodes whose VM is powered on: those that can be asked."""
    running = {vm.name for vm in inventory.vms if vm.is_on}
    return tuple(n for n in nodes(site) if n.name in running)


def clock_findings(site: Site, clocks: Mapping[str, ClockFacts | None]) -> Iterator[Finding]:
    """Yield a finding for each clock that is off or that nobody keeps, then one for the others.

    ``clocks`` are by node, those that were asked; nothing is said where none was.
    """
    asked = [node for node in nodes(site) if node.name in clocks]
    known = [(node, clock) for node in asked if (clock := clocks[node.name]) is not None]
    wrong = {node.name: why for node, clock in known if (why := _wrong(site, node, clock))}
    off = {node.name: clock.offset_s for node, clock in known if is_off(clock)}
    suspect = ""
    if len(off) > 1 and len(off) == len(known) and len({o > 0 for o in off.values()}) == 1:
        suspect = "; all nodes alike: look at this machine's own clock first"
    for name, why in wrong.items():
        yield Finding(f"clock of {name}", Level.PROBLEM, why + suspect * (name in off))
    silent = [node.name for node in asked if clocks[node.name] is None]
    if silent:
        yield Finding("clocks not read", Level.PROBLEM, f"no answer by SSH: {', '.join(silent)}")
    well = [(node, clock) for node, clock in known if node.name not in wrong]
    if well:
        yield _well(site, well)


def is_off(clock: ClockFacts) -> bool:
    """Whether a clock is surely further from this machine's than what is borne."""
    return abs(clock.offset_s) - clock.uncertainty_s > MOST_OFF_S


def _wrong(site: Site, node: Node, clock: ClockFacts) -> str:
    servers = ", ".join(time_servers(site, node))
    said = []
    if is_off(clock):
        way = "ahead of" if clock.offset_s > 0 else "behind"
        said.append(
            f"{abs(clock.offset_s):.1f} s {way} this machine's (± {clock.uncertainty_s:.2g} s, "
            f"borne are {MOST_OFF_S:g} s)"
            + ("" if servers else ": name `time_servers` of its network")
        )
    if servers and not clock.has_keeper:
        said.append(f"chrony does not answer: `permafrost converge {node.name}`")
    elif servers and not clock.follows:
        said.append(f"chrony follows none of {servers}: do they answer by NTP (UDP 123)?")
    return "; ".join(said)


def _well(site: Site, well: list[tuple[Node, ClockFacts]]) -> Finding:
    furthest = max(abs(clock.offset_s) + clock.uncertainty_s for _, clock in well)
    followed = sorted({c.follows for n, c in well if c.follows and time_servers(site, n)})
    alone = sum(not time_servers(site, node) for node, _ in well)
    detail = f"{len(well)} nodes within {furthest:.2g} s of this machine"
    detail += f"; following {', '.join(followed)}" if followed else ""
    detail += f"; {alone} without `time_servers`: their template keeps the clock" if alone else ""
    if site.environment == "lab":
        return Finding(
            "clocks", Level.STAND_IN, f"{detail}; one clock, this machine's", PRODUCTION
        )
    return Finding("clocks", Level.OK, detail)
