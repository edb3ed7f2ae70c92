"""Rules that are not as deployed, and VMs that stand together although a rule says apart.

DRS stores a rule; that proves no placement. So both are looked at: the rule, and where its VMs
really stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from permafrost.planning.drift_report import Drift, DriftCode
from permafrost.planning.knowledge import members as members_of
from permafrost.planning.placement import Slot
from permafrost.planning.snapshot import Inventory, RuleFacts, RuleKind
from permafrost.site.model import Site
from permafrost.topology import Tier, edges, replicas, rule_name


def rule_drift(site: Site, inventory: Inventory, recorded: Mapping[str, Slot]) -> Iterator[Drift]:
    """Return what is wrong with the rules of endpoints and edges, and with what they promise."""
    groups = {name: replicas(site, name) for name in sorted(site.inference)}
    groups[Tier.EDGE.value] = edges(site)
    groups[Tier.KNOWLEDGE.value] = members_of(site)
    for endpoint, group in groups.items():
        members = frozenset(
            n.name for n in group if n.name in recorded and inventory.vm(n.name) is not None
        )
        if len(members) > 1:
            name = rule_name(site, endpoint)
            yield from _rule(endpoint, name, members, inventory.rule(name))
            yield from _against(endpoint, members, inventory)
            yield from _together(endpoint, members, inventory)


def _rule(
    endpoint: str, name: str, members: frozenset[str], rule: RuleFacts | None
) -> Iterator[Drift]:
    if rule is None or rule.kind is not RuleKind.APART:
        wanted = f"a mandatory rule that keeps {', '.join(sorted(members))} apart"
        yield Drift(DriftCode.RULE_MISSING, name, "there is no such rule", wanted, endpoint)
        return
    if not rule.is_enabled:
        yield Drift(DriftCode.RULE_DISABLED, name, "the rule is disabled", "enabled", endpoint)
    if not rule.is_mandatory:
        yield Drift(
            DriftCode.RULE_NOT_MANDATORY,
            name,
            "the rule is a preference",
            "mandatory: DRS and HA must obey it",
            endpoint,
        )
    missing = members - rule.vms
    if missing:
        yield Drift(
            DriftCode.RULE_MEMBERS,
            name,
            f"the rule does not name {', '.join(sorted(missing))}",
            f"{', '.join(sorted(members))}",
            endpoint,
        )


def _against(endpoint: str, members: frozenset[str], inventory: Inventory) -> Iterator[Drift]:
    for rule in inventory.rules:
        held = members & rule.vms
        if rule.kind is RuleKind.TOGETHER and rule.is_enabled and len(held) > 1:
            yield Drift(
                DriftCode.RULE_AGAINST,
                rule.name,
                f"the rule keeps {', '.join(sorted(held))} together",
                "apart",
                endpoint,
            )


def _together(endpoint: str, members: frozenset[str], inventory: Inventory) -> Iterator[Drift]:
    at: dict[str, list[str]] = {}
    for name in sorted(members):
        vm = inventory.vm(name)
        if vm is not None:
            at.setdefault(vm.host, []).append(name)
    for host, names in sorted(at.items()):
        if len(names) > 1:
            yield Drift(
                DriftCode.TOGETHER,
                names[0],
                f"{' and '.join(names)} stand on {host}",
                "each on a host of its own, as the rule says",
                endpoint,
            )
