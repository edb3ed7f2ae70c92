"""Who brings a VM away from hosts that go: we, or DRS as it closes them?

DRS keeps a VM in its rack while a host there has room, also one that was moved out by hand: it is
brought back at its next pass. A host that enters maintenance mode is emptied by DRS itself where
that is fully automated, also against a preference.
"""

from __future__ import annotations

from permafrost.planning.cluster import AUTOMATED
from permafrost.planning.demand import domain_of
from permafrost.planning.snapshot import Inventory, VmFacts
from permafrost.site.model import FailureDomainLevel, Site


def is_left_to_drs(site: Site, inventory: Inventory, vm: VmFacts, target: str) -> bool:
    """Whether a VM that goes to ``target`` leaves its rack, and DRS would bring it back before."""
    if site.failure_domains.level is FailureDomainLevel.HOST or not inventory.cluster.drs_enabled:
        return False
    automation = vm.drs_override or inventory.cluster.drs_automation
    return automation == AUTOMATED and domain_of(site, vm.host) != domain_of(site, target)
