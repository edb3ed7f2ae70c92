"""What must be told apart is told apart, by live servers; what is the same is the same.

Each control changes one thing on disk and serves it by the real Triton. The judge is not told
what was changed, and asked both ways: a checkpoint recorded with its adapter and served without.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from gguf import GGMLQuantizationType

from lab.build import parts
from model_registry.fingerprint import probes
from model_registry.fingerprint.comparison import Grade, compare
from model_registry.fingerprint.document import Asked, Fingerprint, ServingClass, read
from model_registry.fingerprint.probes import weaknesses
from model_registry.fingerprint.referrers import find_in_layout
from model_registry.layout import OciLayout
from permafrost.node.errors import NodeError
from permafrost.node.recording import answer_all
from tests.contract.fingerprint import variants
from tests.contract.fingerprint.conftest import Bench
from tests.contract.fingerprint.server import Served, files_of_part

Recorded = Callable[[tuple[Asked, ...]], Fingerprint]
Change = Callable[[Path, Path], Path]

Q4_0 = variants.requantised(GGMLQuantizationType.Q4_0)
CONTROLS: dict[str, tuple[Change, str]] = {
    "wrong chat template": (variants.other_template, "Q4_1"),
    "another version: a derived model": (variants.child, "Q4_1"),
    "other quantisation": (Q4_0, "Q4_0"),
    "one flipped bit": (variants.flipped, "Q4_1"),
    "missing adapter": (variants.with_adapter, "Q4_1"),
}


def in_another_class(seen: Fingerprint) -> Fingerprint:
    """Return the same answers as had by an unknown class: judged by the bound alone."""
    return Fingerprint(seen.checkpoint, seen.answers, ServingClass())


@pytest.mark.parametrize("name", CONTROLS)
def test_each_control_is_different(
    name: str,
    bench: Bench,
    chat: Path,
    recorded: Recorded,
    asked: tuple[Asked, ...],
    tmp_path: Path,
) -> None:
    change, precision = CONTROLS[name]
    with bench.serving(change(chat, tmp_path / "changed")) as running:
        seen = bench.fingerprint(running, asked, precision)
    before = recorded(asked)
    assert seen.checkpoint != before.checkpoint
    found = compare(before, seen)
    assert found.grade is Grade.DIFFERENT, found
    assert found.difference is not None
    # Not only because one class must be identical: beyond what another class may be off
    assert compare(before, in_another_class(seen)).grade is Grade.DIFFERENT
    # And the other way round: the base served where its child was recorded, the adapter missing
    assert compare(seen, before).grade is Grade.DIFFERENT
    assert weaknesses(seen, (before,)) == ()


def test_a_probe_set_that_cannot_tell_parent_from_child_is_weak(
    bench: Bench, chat: Path, tmp_path: Path
) -> None:
    """One token of an answer that both are sure of shows nothing."""
    weak = tuple(
        Asked(
            f"weak-{i}", "Say only the word yes.", {"max_tokens": 1, "temperature": 0, "seed": 0}
        )
        for i in range(2)
    )
    with bench.serving(chat) as running:
        parent = bench.fingerprint(running, weak)
    tokens_only = Fingerprint(
        parent.checkpoint,
        tuple(type(a)(a.asked, a.token_ids) for a in parent.answers),
        parent.serving_class,
    )
    with bench.serving(variants.child(chat, tmp_path / "child")) as running:
        child = bench.fingerprint(running, weak)
    (found,) = weaknesses(child, (tokens_only,))
    assert found.relative == parent.checkpoint
    assert found.grade is not Grade.DIFFERENT


def test_the_same_after_a_restart_and_after_heavy_load(
    bench: Bench, chat: Path, recorded: Recorded, asked: tuple[Asked, ...]
) -> None:
    before = recorded(asked)
    with bench.serving(chat) as running:
        assert compare(before, bench.fingerprint(running, asked)).grade is Grade.IDENTICAL
        running.load_heavily()
        found = compare(before, bench.fingerprint(running, asked))
    assert found.grade is Grade.IDENTICAL, found
    assert found.compared == found.positions > 0


def test_a_probe_with_company_is_not_recorded(bench: Bench, chat: Path) -> None:
    """The control of "quiet": somebody else's tokens are noticed."""
    asked = [one.as_dict() for one in probes.default()[:4]]
    with bench.serving(chat) as running:
        other = threading.Thread(target=running.load_heavily, args=(30, 2))
        other.start()
        try:
            wait_until_busy(running)
            with pytest.raises(NodeError, match="PROBE_NOT_QUIET"):
                answer_all(running.triton, asked, probes.TOP_K)
        finally:
            other.join()


def wait_until_busy(running: Served) -> None:
    deadline = time.monotonic() + 60
    while running.triton.load().idle:
        assert time.monotonic() < deadline, "no request of the other's came"
        time.sleep(0.01)


@pytest.mark.soak
@pytest.mark.parametrize("name", CONTROLS)
def test_each_control_is_different_by_the_whole_default_set(
    name: str, bench: Bench, chat: Path, recorded: Recorded, tmp_path: Path
) -> None:
    test_each_control_is_different(name, bench, chat, recorded, probes.default(), tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("part", ["checkpoint-gemma", "checkpoint-child"])
def test_another_checkpoint_is_different_and_answers_as_it_was_recorded(
    part: str, bench: Bench, recorded: Recorded, asked: tuple[Asked, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    """A newer foundation, and a child, planted where chat's checkpoint was recorded."""
    folder = files_of_part(part, tmp_path_factory.mktemp("planted"))
    known = find_in_layout(OciLayout(parts.path(part) / "oci"), digest_of(part))
    with bench.serving(folder) as running:
        seen = bench.fingerprint(running, asked)
        again = bench.fingerprint(running, tuple(a.asked for a in read(known).answers))
    assert compare(recorded(asked), seen).grade is Grade.DIFFERENT
    assert compare(recorded(asked), in_another_class(seen)).grade is Grade.DIFFERENT
    # Through Triton it answers what the engine alone did
    tokens = {a.asked.id: a.token_ids for a in read(known).answers}
    assert {a.asked.id: a.token_ids for a in again.answers} == tokens


def digest_of(part: str) -> str:
    return (parts.path(part) / "digest").read_text().strip()


@pytest.mark.soak
def test_a_hundred_of_a_hundred_are_identical(
    bench: Bench, chat: Path, recorded: Recorded, asked: tuple[Asked, ...]
) -> None:
    """Every probe after a heavy load, every fifth after a restart too."""
    before, identical = recorded(asked), 0
    for _ in range(20):
        with bench.serving(chat) as running:
            for _ in range(5):
                running.load_heavily()
                found = compare(before, bench.fingerprint(running, asked))
                assert found.grade is Grade.IDENTICAL, f"after {identical} identical: {found}"
                identical += 1
    assert identical == 100
