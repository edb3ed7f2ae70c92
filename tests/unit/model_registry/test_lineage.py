"""Where models come from, by digest: with metadata of the shape that well-known ones have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model_registry.adding import add, lineage_of
from model_registry.ancestry import ancestors, descendants
from model_registry.digests import of_bytes
from model_registry.errors import RegistryRefused
from model_registry.lineage import Consent, DataSet, Lineage, Method, Parent, from_dict
from model_registry.registry import Registry
from tests.unit.model_registry.models import added, folder

LLAMA = of_bytes(b"meta-llama/Llama-2-7b")
STACK = DataSet(of_bytes(b"the-stack-v1.2"), "the-stack-v1.2", Consent.YES)
CHATS = DataSet(of_bytes(b"chats"), "chats", Consent.NO)


def fine_tune(parent: str, **more: Any) -> Lineage:
    return Lineage(Method.FINE_TUNE, (Parent(parent, more.pop("name", "")),), **more)


def test_a_family_is_drawn_from_leaf_to_foundation_and_back(registry: Registry) -> None:
    starcoder = added(
        registry, "starcoder", "base", lineage=Lineage(Method.PRETRAIN, data_sets=(STACK,))
    )
    tuned = added(
        registry,
        "starcoder",
        "chat",
        lineage=fine_tune(
            starcoder.digest, data_sets=(CHATS,), evidence={"final_loss": 1.07, "steps": 9000}
        ),
    )
    outside = Lineage(Method.FINE_TUNE, (Parent(LLAMA, "meta-llama/Llama-2-7b", True),))
    llama = added(registry, "llama2", "support", lineage=outside)
    merged = added(
        registry,
        "mixed",
        "1",
        lineage=Lineage(Method.MERGE, (Parent(tuned.digest), Parent(llama.digest))),
    )
    small = added(
        registry, "mixed", "1-q4", lineage=Lineage(Method.QUANTISE, (Parent(merged.digest),))
    )
    tree = ancestors(registry, small.digest)
    (merge,) = tree.next
    assert (tree.labels, merge.labels) == (("mixed:1-q4",), ("mixed:1",))
    assert [n.labels for n in merge.next] == [("starcoder:chat",), ("llama2:support",)]
    (foundation,) = merge.next[1].next
    assert (foundation.digest, foundation.outside) == (LLAMA, "meta-llama/Llama-2-7b")
    (root,) = merge.next[0].next
    assert root.lineage is not None
    assert root.lineage.data_sets == (STACK,)
    down = descendants(registry, starcoder.digest)
    assert down.next[0].next[0].next[0].digest == small.digest


def test_the_manifest_carries_the_lineage_and_the_id_depends_on_it(registry: Registry) -> None:
    lineage = Lineage(Method.PRETRAIN, data_sets=(STACK,), evidence={"final_loss": 2.5})
    made = added(registry, "chat", "1", b"same", lineage=lineage)
    assert lineage_of(registry.layout.read_json(made.digest)) == lineage
    assert registry.catalogue.lineages()[made.digest] == lineage.as_dict()
    assert from_dict(lineage.as_dict()) == lineage
    other = added(registry, "chat", "2", b"same", lineage=Lineage(Method.PRETRAIN))
    assert other.digest != made.digest


def test_a_parent_nobody_knows_is_refused_unless_declared_outside(registry: Registry) -> None:
    with pytest.raises(RegistryRefused) as caught:
        added(registry, "chat", "1", lineage=fine_tune(LLAMA, name="Llama 2"))
    assert caught.value.code == "PARENT_UNKNOWN"
    assert (registry.layout.stored(), registry.catalogue.events()) == (frozenset(), ())


def test_an_adapter_pins_its_base(registry: Registry, tmp_path: Path) -> None:
    base = added(registry, "mistral", "7b")
    source = folder(tmp_path / "lora", b"delta", adapter_config__json=b'{"r": 8}')
    for lineage in (None, fine_tune(base.digest)):
        with pytest.raises(RegistryRefused) as caught:
            add(registry, source, "lora", "1", lineage=lineage)
        assert caught.value.code == "ADAPTER_BASE_MISSING"
    pinned = Lineage(Method.ADAPTER, (Parent(base.digest),))
    made = add(registry, source, "lora", "1", lineage=pinned)
    assert ancestors(registry, made.digest).next[0].labels == ("mistral:7b",)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"method": "magic"}, "none of pretrain"),
        ({}, "None is none of"),
        ({"method": "pretrain", "parents": [{"digest": LLAMA}]}, "pretrain with 1 parents"),
        ({"method": "merge", "parents": [{"digest": LLAMA}]}, "merge with 1 parents"),
        ({"method": "adapter"}, "adapter with 0 parents"),
        ({"method": "fine-tune", "parents": [{"name": "llama"}]}, "named by its digest"),
        ({"method": "pretrain", "data_sets": [{"digest": LLAMA, "consent": "maybe"}]}, "consent"),
        ({"method": "pretrain", "evidence": {"final_loss": "low"}}, "figures"),
        ({"method": "pretrain", "loss": 1}, "no 'loss'"),
        (["pretrain"], "must be an object"),
    ],
)
def test_what_is_no_lineage_is_refused_with_the_reason(document: Any, says: str) -> None:
    with pytest.raises(RegistryRefused, match="LINEAGE_INVALID") as caught:
        from_dict(document)
    assert says in caught.value.message
