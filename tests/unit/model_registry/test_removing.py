"""What is collected, and above all what never is."""

from __future__ import annotations

import os

import pytest

from model_registry.catalogue.audit import audit
from model_registry.catalogue.model import Verb
from model_registry.digests import canonical_json
from model_registry.errors import RegistryRefused
from model_registry.fingerprint.referrers import attach, find_in_layout
from model_registry.lineage import Lineage, Method, Parent
from model_registry.promotion import carry_out
from model_registry.registry import Registry
from model_registry.removing import collect, plan_collection
from model_registry.verify import verify
from tests.unit.model_registry.models import added


def do(registry: Registry, verb: Verb, version: str, times: int = 1) -> None:
    for _ in range(times):
        carry_out(registry, registry.catalogue.plan("chat", version, verb), why="")


def test_leftovers_of_a_killed_command_go_and_versions_stay(registry: Registry) -> None:
    made = added(registry, "chat", "1")
    before = registry.layout.stored()
    left = registry.layout.add_bytes(b"left behind")
    half = {"schemaVersion": 2, "artifactType": "x", "config": {"digest": left}, "layers": []}
    registry.layout.add_manifest(half)
    (registry.home / "oci/blobs/sha256/.part-x").write_bytes(b"12345")
    planned = plan_collection(registry)
    assert left in planned.blobs
    assert registry.layout.has(left), "planning removes nothing"
    size = len(b"left behind") + len(canonical_json(half)) + len(b"12345")
    assert collect(registry).size == size
    assert registry.layout.stored() == before
    assert [e.digest for e in registry.layout.entries()] == [made.digest]
    assert not list(registry.home.glob("oci/blobs/sha256/.part-*"))
    assert collect(registry).blobs == ()


def test_retired_content_goes_only_when_asked_and_can_come_back(registry: Registry) -> None:
    made = added(registry, "chat", "1", b"weights")
    added(registry, "chat", "2")
    do(registry, Verb.RETIRE, "1")
    assert collect(registry).versions == ()
    taken = collect(registry, retired=True, why="space")
    assert [v.label for v in taken.versions] == ["chat:1"]
    assert not registry.resolve("chat:1").is_present
    assert not registry.layout.has(made.digest)
    assert verify(registry.layout, registry.resolve("chat:2").digest).holds, "shared file stays"
    with pytest.raises(RegistryRefused) as caught:
        registry.catalogue.plan("chat", "1", Verb.PROMOTE)
    assert caught.value.code == "CONTENT_COLLECTED"
    with pytest.raises(RegistryRefused, match="VERSION_IMMUTABLE"):
        added(registry, "chat", "1", b"others")
    assert added(registry, "chat", "1", b"weights").is_new
    assert verify(registry.layout, made.digest).holds
    assert audit(registry.catalogue) == ()


def test_the_way_back_stays(registry: Registry) -> None:
    for version in ("1", "2", "3"):
        added(registry, "chat", version)
        do(registry, Verb.PROMOTE, version, times=2)
    assert [v.label for v in plan_collection(registry, retired=True).versions] == ["chat:1"]


def test_what_is_pinned_stays(registry: Registry) -> None:
    made = added(registry, "chat", "1")
    do(registry, Verb.RETIRE, "1")
    registry.catalogue.pin("site:lab", {"chat@production": made.digest})
    assert collect(registry, retired=True).versions == ()
    with pytest.raises(RegistryRefused, match="COLLECT_HELD"):
        registry.catalogue.collect([registry.resolve("chat:1")], why="")
    registry.catalogue.pin("site:lab", {})
    assert len(collect(registry, retired=True).versions) == 1
    with pytest.raises(RegistryRefused, match="PIN_UNKNOWN"):
        registry.catalogue.pin("site:lab", {"chat@production": made.digest})


def test_the_base_of_an_adapter_that_is_kept_stays(registry: Registry) -> None:
    base = added(registry, "chat", "1")
    added(registry, "lora", "1", lineage=Lineage(Method.ADAPTER, (Parent(base.digest),)))
    do(registry, Verb.RETIRE, "1")
    assert collect(registry, retired=True).versions == ()


def test_a_fingerprint_lives_as_long_as_its_checkpoint(registry: Registry) -> None:
    made = added(registry, "chat", "1")
    attach(registry.layout, made.digest, {"checkpoint": made.digest, "probes": []})
    collect(registry)
    assert find_in_layout(registry.layout, made.digest)["probes"] == []
    do(registry, Verb.RETIRE, "1")
    collect(registry, retired=True)
    assert registry.layout.entries() == ()
    assert registry.layout.stored() == frozenset()


def test_what_others_tagged_in_the_layout_stays(registry: Registry) -> None:
    config = registry.layout.add_bytes(b"{}")
    theirs = registry.layout.add_manifest(
        {"schemaVersion": 2, "config": {"digest": config}, "layers": []}, tag="theirs"
    )
    collect(registry, retired=True)
    assert registry.layout.stored() == {theirs, config}


def test_damaged_bytes_are_not_promoted(registry: Registry) -> None:
    made = added(registry, "chat", "1")
    weights = registry.layout.read_json(made.digest)["layers"][0]["digest"]
    path = registry.layout.blob_path(weights)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    os.chmod(path, 0o644)  # noqa: PTH101
    path.write_bytes(content)
    events = registry.catalogue.events()
    with pytest.raises(RegistryRefused, match="CHECKPOINT_DAMAGED") as caught:
        do(registry, Verb.PROMOTE, "1")
    assert "model.safetensors" in caught.value.message
    assert registry.catalogue.events() == events
