"""The lab's checkpoints as they are built."""

from __future__ import annotations

from pathlib import Path

from lab.checkpoints import questions
from lab.checkpoints.build import build
from model_registry.checkpoint import files_of
from model_registry.fingerprint.referrers import find_in_layout
from model_registry.layout import OciLayout


def test_pulse_is_the_same_checkpoint_wherever_it_is_built(tmp_path: Path) -> None:
    for place in ("one", "two"):
        build("pulse", tmp_path / place)
    digest = (tmp_path / "one" / "digest").read_text().strip()
    assert (tmp_path / "two" / "digest").read_text().strip() == digest
    assert (tmp_path / "one" / "name").read_text() == "pulse\n"
    layout = OciLayout(tmp_path / "one" / "oci")
    assert [f.path for f in files_of(layout.read_json(digest))] == ["pulse.weights"]
    recorded = find_in_layout(layout, digest)
    assert recorded["checkpoint"] == digest
    assert len({p["id"] for p in recorded["probes"]}) >= 8
    assert all(p["token_ids"] and p["text"] for p in recorded["probes"])


def test_building_again_changes_nothing(tmp_path: Path) -> None:
    build("pulse", tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    build("pulse", tmp_path)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_the_admission_probes_of_chat_are_short() -> None:
    assert len(questions.QUESTIONS) >= 8
    assert [most for _, _, most in questions.QUESTIONS[:2]] == [8, 8]
    assert len({name for name, _, _ in questions.QUESTIONS}) == len(questions.QUESTIONS)
