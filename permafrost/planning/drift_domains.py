"""Rules of racks and rooms that are not as deployed, and VMs that run outside of theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from permafrost.planning.domains import DomainRule, domain_rules
from permafrost.planning.drift_report import Drift, DriftCode
from permafrost.planning.snapshot import Inventory, RuleKind

if TYPE_CHECKING:
    from permafrost.planning.slots import Slot
    from permafrost.site.model import Site


def domain_drift(
    site: Site, inventory: Inventory, recorded: Mapping[str, Slot]
) -> Iterator[Drift]:
    """Return what is wrong with the rules that keep VMs in their domain, and with what they do."""
    there = {name: slot for name, slot in recorded.items() if inventory.vm(name) is not None}
    for rule in domain_rules(site, there, (h.name for h in inventory.hosts)):
        yield from _rule(rule, inventory)
        if not rule.is_mandatory and not _has_room(rule, inventory):
            continue  # its edges had to go elsewhere
        for node in rule.nodes:
            vm = inventory.vm(node)
            if vm is not None and vm.host not in rule.hosts:
                yield Drift(
                    DriftCode.OUTSIDE_DOMAIN, node, f"on {vm.host}", f"on a host of {rule.domain}"
                )


def _has_room(rule: DomainRule, inventory: Inventory) -> bool:
    return any(h.is_usable for h in inventory.hosts if h.name in rule.hosts)


def _rule(wanted: DomainRule, inventory: Inventory) -> Iterator[Drift]:
    name, rule = wanted.name, inventory.rule(wanted.name)
    if rule is None or rule.kind is not RuleKind.ON_HOSTS:
        what = "a mandatory rule" if wanted.is_mandatory else "a rule"
        text = f"{what} that keeps {', '.join(wanted.nodes)} in {wanted.domain}"
        yield Drift(DriftCode.RULE_MISSING, name, "there is no such rule", text)
        return
    if not rule.is_enabled:
        yield Drift(DriftCode.RULE_DISABLED, name, "the rule is disabled", "enabled")
    if wanted.is_mandatory and not rule.is_mandatory:
        yield Drift(
            DriftCode.RULE_NOT_MANDATORY,
            name,
            "the rule is a preference",
            "mandatory: DRS and HA must obey it",
        )
    if missing := sorted(set(wanted.nodes) - rule.vms):
        text = f"its VMs are without {', '.join(missing)}"
        yield Drift(DriftCode.RULE_MEMBERS, name, text, ", ".join(wanted.nodes))
    if rule.hosts != set(wanted.hosts):
        seen = f"its hosts are {', '.join(sorted(rule.hosts)) or 'none'}"
        yield Drift(DriftCode.RULE_MEMBERS, name, seen, ", ".join(wanted.hosts))
