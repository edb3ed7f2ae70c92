"""A lost catalogue comes back from content: what is whole, and nothing else."""

from __future__ import annotations

from model_registry.catalogue.audit import audit
from model_registry.catalogue.model import Stage, Verb
from model_registry.checkpoint import files_of
from model_registry.lineage import Lineage, Method
from model_registry.meter import Meter
from model_registry.rebuilding import rebuild
from model_registry.registry import Registry
from tests.unit.model_registry.models import added


def without_catalogue(registry: Registry) -> Registry:
    for path in registry.home.glob("catalogue.db*"):
        path.unlink()
    return Registry.open(registry.home, who="eve", create=True)


def test_a_lost_catalogue_comes_back_from_content_without_decisions(registry: Registry) -> None:
    base = added(registry, "chat", "1", lineage=Lineage(Method.PRETRAIN))
    registry.catalogue.carry_out(registry.catalogue.plan("chat", "1", Verb.PROMOTE), why="")
    added(registry, "chat", "2")
    reborn, meter = without_catalogue(registry), Meter()
    found = rebuild(reborn, meter=meter)
    assert ([a.version for a in found.versions], found.left_out) == (["1", "2"], ())
    assert meter.moved == meter.expected > 0
    assert {v.stage for v in reborn.catalogue.versions()} == {Stage.CANDIDATE}
    assert reborn.catalogue.lineages() == {base.digest: {"method": "pretrain"}}
    again = Meter()
    assert rebuild(reborn, meter=again).versions == ()
    assert again.moved == 0, "what is known is not read again"
    assert audit(reborn.catalogue) == ()


def test_what_is_not_whole_is_left_out_and_hinders_no_other(registry: Registry) -> None:
    layout = registry.layout
    made = {name: added(registry, name, "1", name.encode()) for name in ("bytes", "cut", "gone")}
    weights = {
        name: next(f for f in files_of(layout.read_json(a.digest)) if f.path.startswith("model"))
        for name, a in made.items()
    }
    path = layout.blob_path(weights["bytes"].digest)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    path = layout.blob_path(weights["cut"].digest)
    path.write_bytes(path.read_bytes()[:-1])
    layout.blob_path(weights["gone"].digest).unlink()
    flipped = layout.blob_path(added(registry, "manifest", "1", b"manifest").digest)
    flipped.write_bytes(flipped.read_bytes().replace(b"layers", b"Layers"))
    added(registry, "whole", "1", b"whole")
    layout.tag(added(registry, "other", "1", b"other").digest, "Not A Name:1")
    reborn = without_catalogue(registry)
    found = rebuild(reborn)
    assert [a.name for a in found.versions] == ["whole", "other"]
    assert {left.label: left.why.partition(":")[0] for left in found.left_out} == {
        "bytes:1": "CHECKPOINT_DAMAGED",
        "cut:1": "CHECKPOINT_DAMAGED",
        "gone:1": "CHECKPOINT_DAMAGED",
        "manifest:1": "MANIFEST_CHANGED",
        "Not A Name:1": "NAME_INVALID",
    }
    assert {v.label for v in reborn.catalogue.versions()} == {"whole:1", "other:1"}
    assert audit(reborn.catalogue) == ()
