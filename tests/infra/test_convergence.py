"""When a node is configured again, and what of the provider reaches the state."""

from __future__ import annotations

import base64
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pulumi.dynamic.dynamic import serialize_provider

from infra.convergence import ConvergenceProvider
from infra.vm_hooks import OWNER
from permafrost.engine.state import DeclaredState, StateStore

INPUTS: dict[str, Any] = {
    "node": "tiny-pulse-01",
    "vm": "uuid-1",
    "vm_fingerprint": "sha256:vm",
    "convergence": "sha256:how",
    "checkpoint": "sha256:model",
    "image": "sha256:image",
}


@pytest.fixture
def store(site_file: Path, monkeypatch: pytest.MonkeyPatch) -> StateStore:
    monkeypatch.setenv("PERMAFROST_SITE", str(site_file))
    return StateStore(site_file.parent / "state")


@pytest.fixture
def converged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note what would be configured."""
    calls: list[str] = []
    monkeypatch.setattr(
        "permafrost.wiring.open_context", lambda path: SimpleNamespace(loaded=path)
    )
    monkeypatch.setattr(
        "infra.vm_hooks.forget_host_key", lambda _, node: calls.append(f"forget {node}")
    )
    monkeypatch.setattr(
        "permafrost.runbook.converge.converge_node",
        lambda context, node, **_: calls.append(node),
    )
    return calls


def differs(news: dict[str, Any]) -> bool:
    return bool(ConvergenceProvider().diff("tiny-pulse-01", INPUTS, news).changes)


def test_equal_fingerprints_are_no_difference(store: StateStore) -> None:
    assert not differs(dict(INPUTS))


@pytest.mark.parametrize("key", ["vm", "vm_fingerprint", "convergence", "checkpoint", "image"])
def test_any_other_fingerprint_is_one(store: StateStore, key: str) -> None:
    assert differs({**INPUTS, key: "another"})


def test_it_is_never_replaced(store: StateStore) -> None:
    result = ConvergenceProvider().diff("tiny-pulse-01", INPUTS, {**INPUTS, "vm": "uuid-2"})
    assert not result.replaces


def test_a_replica_that_a_hook_drained_is_admitted_again_though_all_is_equal(
    store: StateStore,
) -> None:
    store.declare("tiny-pulse-01", DeclaredState.DRAINED, owner=OWNER)
    assert differs(dict(INPUTS))
    store.declare("tiny-pulse-01", DeclaredState.ADMITTED, owner=OWNER)
    assert not differs(dict(INPUTS))


def test_what_a_person_drained_stays_away(store: StateStore) -> None:
    store.declare("tiny-pulse-01", DeclaredState.DRAINED, owner="operator:someone")
    assert not differs(dict(INPUTS))


def test_create_and_update_configure_the_node_and_keep_only_fingerprints(
    store: StateStore, converged: list[str]
) -> None:
    provider = ConvergenceProvider()
    created = provider.create({**INPUTS, "__provider": "x"})
    updated = provider.update("tiny-pulse-01", INPUTS, {**INPUTS, "image": "new"})
    # Only a new VM's key is another one than before: an update keeps what it trusts.
    assert converged == ["forget tiny-pulse-01", "tiny-pulse-01", "tiny-pulse-01"]
    assert created.outs == INPUTS
    assert updated.outs == {**INPUTS, "image": "new"}


def test_the_state_holds_the_providers_name_and_none_of_its_code() -> None:
    provider = ConvergenceProvider()
    pickled = base64.b64decode(serialize_provider(provider))
    assert b"infra.convergence" in pickled
    assert b"ConvergenceProvider" in pickled
    # A pickle by value would carry the bytecode of its methods: kilobytes.
    assert len(pickled) < 100
    assert provider.serialize_as_secret_always is False
