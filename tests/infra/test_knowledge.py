"""What the program asks Pulumi for where the site has a knowledge tier."""

from __future__ import annotations

from typing import Any

import pytest

from infra import convergence
from infra.components.anti_affinity import AntiAffinity
from infra.components.cluster_convergence import ClusterConvergence
from infra.components.foundation import Foundation
from infra.components.knowledge_vm import KnowledgeVm
from infra.components.ownership import Ownership
from infra.components.seed import seed_of
from permafrost.planning.knowledge import members
from permafrost.planning.placement import Slot
from permafrost.topology import Tier
from policy.rules import RULES
from tests.golden.ansible.rendering import golden_site
from tests.infra.test_components import RULE, VM, NoHooks, run

SITE = golden_site("bergen")
CLUSTER = "pulumi-python:dynamic/permafrost:ClusterConvergence"


class Hooks(NoHooks):
    is_teardown = False


def declared() -> dict[tuple[str, str], dict[str, Any]]:
    def program() -> None:
        hooks: Any = Hooks()
        foundation = Foundation(SITE, hooks=hooks)
        ownership = Ownership(SITE, hooks=hooks)
        vms = [
            KnowledgeVm(
                SITE,
                node,
                Slot(f"esx-{i}", f"host-{i}"),
                seed=seed_of(SITE, node, "ssh-ed25519 AAAA someone"),
                foundation=foundation,
                ownership=ownership,
                hooks=hooks,
            )
            for i, node in enumerate(members(SITE), start=1)
        ]
        AntiAffinity(SITE, Tier.KNOWLEDGE, vms, foundation=foundation, hooks=hooks)
        ClusterConvergence(SITE, "sha256:told", hooks=hooks, depends_on=vms)

    return run(program)


def test_members_have_a_disk_for_their_data_and_stand_apart() -> None:
    made = declared()
    for i, node in enumerate(members(SITE), start=1):
        vm = made[VM, node.name]
        assert [(d["label"], d["size"], d["unitNumber"]) for d in vm["disks"]] == [
            ("disk0", 60, 0),
            ("data", 200, 1),
        ]
        assert vm["hostSystemId"] == f"host-{i}"
    rule = made[RULE, "keep-apart-bergen-knowledge"]
    assert rule["mandatory"] is True
    assert len(rule["virtualMachineIds"]) == 3


def test_the_policy_wants_such_a_vm_protected_and_the_component_says_it_holds_data() -> None:
    vm = declared()[VM, members(SITE)[0].name]
    (rule,) = (r for r in RULES if r.name == "protected-data")
    assert rule.violations(VM, vm, protect=False)
    assert not rule.violations(VM, vm, protect=True)
    assert KnowledgeVm.holds_data


def test_what_the_cluster_is_told_is_known_by_a_fingerprint_alone() -> None:
    told = declared()[CLUSTER, "bergen-knowledge"]
    assert {k: v for k, v in told.items() if k != "__provider"} == {
        "cluster": "bergen-knowledge",
        "fingerprint": "sha256:told",
    }


def test_a_vm_that_was_made_anew_is_spoken_to_as_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its host key is another one; a configuration of the same VM keeps the one that is known."""
    told: list[bool] = []
    monkeypatch.setattr(
        convergence, "_converge", lambda props, *, is_new=False: told.append(is_new)
    )
    provider = convergence.ConvergenceProvider()
    props = {"node": "bergen-knowledge-01", **dict.fromkeys(provider.compared, "x")}
    provider.update("id", props, {**props, "convergence": "y"})
    provider.update("id", props, {**props, "vm": "another"})
    assert told == [False, True]
