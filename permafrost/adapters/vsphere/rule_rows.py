"""A cluster's rules and groups as values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pyVmomi import vim

from permafrost.planning.snapshot import RuleFacts, RuleKind

AMONG_VMS = {
    vim.cluster.AntiAffinityRuleSpec: RuleKind.APART,
    vim.cluster.AffinityRuleSpec: RuleKind.TOGETHER,
}


def rules_of(configuration: Any, named: Mapping[str, str]) -> Iterator[RuleFacts]:
    """Yield the rules of a cluster; ``named`` are the names of VMs and hosts by id."""
    vms, hosts = _groups(configuration, named)
    for rule in getattr(configuration, "rule", None) or []:
        if isinstance(rule, vim.cluster.VmHostRuleInfo):
            on = str(rule.affineHostGroupName or "")
            yield RuleFacts(
                str(rule.name),
                bool(rule.enabled),
                bool(rule.mandatory),
                vms.get(str(rule.vmGroupName or ""), frozenset()),
                RuleKind.ON_HOSTS if on else RuleKind.OFF_HOSTS,
                hosts.get(on or str(rule.antiAffineHostGroupName or ""), frozenset()),
            )
            continue
        kind = next((k for cls, k in AMONG_VMS.items() if isinstance(rule, cls)), None)
        if kind is not None:
            yield RuleFacts(
                str(rule.name),
                bool(rule.enabled),
                bool(rule.mandatory),
                _names(rule.vm, named),
                kind,
            )


_Groups = dict[str, frozenset[str]]


def _groups(configuration: Any, named: Mapping[str, str]) -> tuple[_Groups, _Groups]:
    vms: _Groups = {}
    hosts: _Groups = {}
    for group in getattr(configuration, "group", None) or []:
        if isinstance(group, vim.cluster.VmGroup):
            vms[str(group.name)] = _names(group.vm, named)
        elif isinstance(group, vim.cluster.HostGroup):
            hosts[str(group.name)] = _names(group.host, named)
    return vms, hosts


def _names(references: Any, named: Mapping[str, str]) -> frozenset[str]:
    return frozenset(named.get(str(r._moId), str(r._moId)) for r in references or ())
