"""Rules that keep VMs in their failure domain, where that is a rack or a room.

A VM with a passed-through device stays where its device is. One without could be moved by DRS
or restarted by HA on any host of the cluster, and two members of a group would share a rack. So
those of a domain are a group of VMs, the domain's hosts a group of hosts, and a rule ties the one
to the other. Inside of their domain vCenter moves them as it likes. The rule is mandatory but for
edges: DRS keeps a preference too, and an edge must be able to leave a rack that goes away whole,
for maintenance or for good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from permafrost.planning.demand import domain_of
from permafrost.planning.slots import Slot
from permafrost.site.model import FailureDomainLevel, Site
from permafrost.topology import Tier, groups, names_by_group


@dataclass(frozen=True, slots=True)
class DomainRule:
    """One domain's hosts, and the nodes that run on these: alone, or as long as they can."""

    site: str
    domain: str
    hosts: tuple[str, ...]
    nodes: tuple[str, ...]
    is_mandatory: bool = True

    @property
    def name(self) -> str:
        """The rule's name at vCenter."""
        verb = "keep" if self.is_mandatory else "keep-edges"
        return f"{verb}-in-{self.site}-{self.domain}"

    @property
    def host_group(self) -> str:
        """The name of the group of hosts."""
        return f"hosts-{self.site}-{self.domain}"

    @property
    def vm_group(self) -> str:
        """The name of the group of VMs."""
        kind = "vms" if self.is_mandatory else "edges"
        return f"{kind}-{self.site}-{self.domain}"


def domain_rules(
    site: Site, placement: Mapping[str, Slot], hosts: Iterable[str]
) -> tuple[DomainRule, ...]:
    """Return a rule for each domain where something could be moved away; none at level host.

    ``hosts`` are the cluster's: a label of a host that is not there names nothing.
    """
    if site.failure_domains.level is FailureDomainLevel.HOST:
        return ()
    of_domain: dict[str, list[str]] = {}
    for host in sorted(hosts):
        domain = domain_of(site, host)
        if domain is not None:
            of_domain.setdefault(domain, []).append(host)
    kept: dict[tuple[str, bool], list[str]] = {}
    names = names_by_group(site)
    for group in groups(site):
        for node in names[group.name] if group.count > 1 else ():
            slot = placement.get(node)
            domain = domain_of(site, slot.host) if slot is not None and not slot.gpus else None
            if domain in of_domain:
                kept.setdefault((domain, group.tier is not Tier.EDGE), []).append(node)
    return tuple(
        DomainRule(site.site, domain, tuple(of_domain[domain]), tuple(nodes), is_mandatory)
        for (domain, is_mandatory), nodes in sorted(kept.items())
    )
