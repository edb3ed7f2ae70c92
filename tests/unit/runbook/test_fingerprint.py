"""Record, compare and rebaseline over a simulated site: only drained, nothing overwritten."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model_registry.fingerprint.keeping import Verb
from permafrost.engine.state import DeclaredState, Phase
from permafrost.errors import Failed, PermafrostError, Problem, Refused
from permafrost.facts import ProbeAnswers
from permafrost.runbook.context import Context
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.fingerprint import SETTLES_WITHIN_S, fingerprint_replica
from tests.fakes.model_server import FakeModelServer
from tests.fakes.site import context
from tests.fakes.world import World

ONE, TWO, THREE = "lab-chat-01", "lab-chat-02", "lab-chat-03"
ME = "operator:me"
CLASS = {"engine_image": "sha256:" + "e" * 64, "gpu": "L40S", "driver": "570"}
Document = Mapping[str, object]


class Models(FakeModelServer):
    """Answers probes: each prompt's tokens follow from its text and ``version``."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.classes: dict[str, dict[str, str]] = {}
        self.version = 1
        self.loaded = ""
        self.followed: list[str] = []
        self.deaf: set[str] = set()

    def serving_class(self, node: str) -> Document:
        return self.classes.get(node, CLASS)

    def answer(self, node: str, probes: Sequence[Document], top_k: int) -> ProbeAnswers:
        answers: list[dict[str, Any]] = []
        for probe in probes:
            tokens = [len(str(probe["text_input"])), self.version, 7]
            tops = [[[token, -0.1], [token + 1, -2.5]] for token in tokens]
            answers.append({**probe, "token_ids": tokens, "top_logprobs": tops})
        loaded = self.loaded or self.world.machines[node].checkpoint
        return ProbeAnswers(node, loaded, self.serving_class(node), answers)

    def follow(self, node: str) -> None:
        if node in self.deaf:
            raise Failed(Problem("NODE_UNREACHABLE", "no answer", node))
        self.followed.append(node)


class Store:
    """Fingerprints in memory."""

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.parents: list[Document] = []
        self.shipped: bytes | None = None

    def known(self, pinned: str) -> tuple[Document, ...]:
        return tuple(self.documents)

    def of_parents(self, pinned: str) -> tuple[Document, ...]:
        return tuple(self.parents)

    def probe_set(self, pinned: str) -> bytes | None:
        return self.shipped

    def add(self, pinned: str, fingerprint: Document) -> str:
        self.documents.append(fingerprint)
        return f"sha256:{len(self.documents):064}"


@pytest.fixture
def models(world: World) -> Models:
    return Models(world)


@pytest.fixture
def ctx(tmp_path: Path, world: World, models: Models) -> Context:
    return replace(context(tmp_path / "state", world), models=models)


@pytest.fixture
def store() -> Store:
    return Store()


def run(ctx: Context, store: Store, verb: Verb, replica: str = ONE) -> Any:
    return fingerprint_replica(ctx, store, replica, verb, owner=ME)


@pytest.mark.parametrize("verb", Verb)
def test_only_a_drained_replica_is_probed(ctx: Context, store: Store, verb: Verb) -> None:
    with pytest.raises(Refused) as caught:
        run(ctx, store, verb)
    assert caught.value.code == "REPLICA_NOT_DRAINED"
    assert "permafrost drain lab-chat-01" in caught.value.problems[0].hint
    assert store.documents == []
    assert not ctx.store.journal()


def test_a_replica_with_something_in_flight_is_not_probed(
    ctx: Context, store: Store, world: World
) -> None:
    drain_replica(ctx, ONE, owner=ME)
    world.machines[ONE].requests.append(1e9)
    with pytest.raises(Refused, match="1 in flight"):
        run(ctx, store, Verb.RECORD)
    assert world.seconds >= SETTLES_WITHIN_S
    assert store.documents == []


def test_what_a_drained_replica_still_works_on_is_awaited(
    ctx: Context, store: Store, world: World
) -> None:
    """Its node generates a token now and then, to see that the server lives."""
    drain_replica(ctx, ONE, owner=ME)
    world.machines[ONE].requests.append(world.seconds + 5)
    assert run(ctx, store, Verb.RECORD).kept


def test_a_recording_is_kept_told_to_all_and_changes_nothing_again(
    ctx: Context, store: Store, models: Models
) -> None:
    drain_replica(ctx, ONE, owner=ME)
    first = run(ctx, store, Verb.RECORD)
    assert first.kept
    assert len(store.documents) == 1
    assert models.followed == [ONE, TWO, THREE]
    again = run(ctx, store, Verb.RECORD)
    assert not again.kept
    assert again.judged.comparison.grade.value == "identical"
    assert len(store.documents) == 1
    assert ctx.store.declared()[ONE].state is DeclaredState.DRAINED


def test_intent_stands_before_it_is_kept_and_a_cut_is_made_good(
    ctx: Context, store: Store, models: Models
) -> None:
    drain_replica(ctx, ONE, owner=ME)
    phases: list[list[Phase]] = []

    class Dies(BaseException):
        pass

    real = store.add

    def add(pinned: str, fingerprint: Document) -> str:
        phases.append([e.phase for e in ctx.store.journal() if e.kind == "fingerprint-record"])
        real(pinned, fingerprint)
        raise Dies

    store.add = add  # type: ignore[method-assign]
    with pytest.raises(Dies):
        run(ctx, store, Verb.RECORD)
    assert phases == [[Phase.INTENT]]
    assert models.followed == []
    store.add = real  # type: ignore[method-assign]
    run(ctx, store, Verb.RECORD)
    assert len(store.documents) == 1
    assert models.followed == [ONE, TWO, THREE]


def test_a_replica_that_answers_otherwise_is_found_and_never_recorded(
    ctx: Context, store: Store, models: Models
) -> None:
    drain_replica(ctx, ONE, owner=ME)
    run(ctx, store, Verb.RECORD)
    models.version = 2
    found = run(ctx, store, Verb.COMPARE)
    assert not found.judged.passes
    difference = found.judged.comparison.difference
    assert (difference.position, difference.expected, difference.seen) == (1, 1, 2)
    for verb in (Verb.RECORD, Verb.REBASELINE):
        with pytest.raises(Failed) as caught:
            run(ctx, store, verb)
        assert caught.value.code == "FINGERPRINT_DIFFERENT"
    assert len(store.documents) == 1
    assert ctx.store.journal()[-1].phase is Phase.FAILED


def test_other_probes_are_recorded_only_where_the_known_ones_pass(
    ctx: Context, store: Store, models: Models, tmp_path: Path
) -> None:
    drain_replica(ctx, ONE, owner=ME)
    run(ctx, store, Verb.RECORD)
    probes = [{"id": f"new-{n}", "text_input": f"{n} " * (n + 1)} for n in range(16)]
    (tmp_path / "new.json").write_text(json.dumps({"probes": probes}))

    def record() -> Any:
        probed = tmp_path / "new.json"
        return fingerprint_replica(ctx, store, ONE, Verb.RECORD, owner=ME, probes=probed)

    models.version = 2
    with pytest.raises(Failed) as caught:
        record()
    assert caught.value.code == "FINGERPRINT_DIFFERENT"
    assert len(store.documents) == 1
    models.version = 1
    assert record().kept
    assert not record().kept
    assert len(store.documents) == 2


def test_another_checkpoint_is_not_recorded(ctx: Context, store: Store, models: Models) -> None:
    drain_replica(ctx, ONE, owner=ME)
    models.loaded = "sha256:" + "f" * 64
    with pytest.raises(Failed) as caught:
        run(ctx, store, Verb.RECORD)
    assert caught.value.code == "CHECKPOINT_DIGEST_MISMATCH"
    assert store.documents == []


def test_a_new_driver_is_rebaselined_and_the_rest_follow(
    ctx: Context, store: Store, models: Models
) -> None:
    drain_replica(ctx, ONE, owner=ME)
    with pytest.raises(Refused, match=r"FINGERPRINT_MISSING|FINGERPRINT_NONE_BEFORE"):
        run(ctx, store, Verb.REBASELINE)
    run(ctx, store, Verb.RECORD)
    models.classes[ONE] = {**CLASS, "driver": "580"}
    with pytest.raises(Refused) as caught:
        run(ctx, store, Verb.RECORD)
    assert caught.value.code == "FINGERPRINT_NEW_CLASS"
    assert "driver" in caught.value.problems[0].message
    models.followed.clear()
    models.deaf.add(THREE)
    found = run(ctx, store, Verb.REBASELINE)
    assert found.kept
    assert found.as_dict()["compared_with"]["driver"] == "570"
    assert [d["serving_class"]["driver"] for d in store.documents] == ["570", "580"]  # type: ignore[index]
    assert models.followed == [ONE, TWO]
    assert any(THREE in note for note in found.notes)
    assert run(ctx, store, Verb.COMPARE).judged.comparison.same_class


def test_a_comparison_keeps_and_tells_nothing(ctx: Context, store: Store, models: Models) -> None:
    drain_replica(ctx, ONE, owner=ME)
    run(ctx, store, Verb.RECORD)
    models.followed.clear()
    assert run(ctx, store, Verb.COMPARE).judged.passes
    assert models.followed == []
    assert len(store.documents) == 1


def test_a_set_that_cannot_tell_the_parent_is_reported(ctx: Context, store: Store) -> None:
    drain_replica(ctx, ONE, owner=ME)
    run(ctx, store, Verb.RECORD)
    parent = {**store.documents[0], "checkpoint": "sha256:" + "9" * 64}
    store.parents = [parent]
    found = run(ctx, store, Verb.RECORD)
    assert [w["relative"] for w in found.as_dict()["weak"]] == [parent["checkpoint"]]


def test_the_checkpoints_own_probe_set_comes_first(ctx: Context, store: Store) -> None:
    drain_replica(ctx, ONE, owner=ME)
    probe = '{"id": "%s", "text_input": "hi"}'
    store.shipped = f'{{"probes": [{probe % "a"}, {probe % "b"}]}}'.encode()
    assert [a.asked.id for a in run(ctx, store, Verb.RECORD).seen.answers] == ["a", "b"]
    store.shipped = b'{"probes": []}'
    with pytest.raises(PermafrostError) as caught:
        run(ctx, store, Verb.RECORD)
    assert caught.value.code == "PROBE_SET_INVALID"
