"""A model from its foundation to what serves: signed, promoted, locked, deployed, told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.checkpoints import fine_tuned_files, fine_tuned_pulse
from tests.acceptance.conftest import endpoint
from tests.acceptance.driver import Cli
from tests.acceptance.models import CHAT, PULSE, Models, now, pinned, release_key, signed_site

Status = Callable[[], dict[str, Any]]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return release_key(tmp_path)


@pytest.fixture
def models(site_file: Path, key: Path, tmp_path: Path) -> Iterator[Models]:
    with signed_site(site_file, key, pulse=f"{PULSE}@production") as site:
        yield Models(site, tmp_path / "models")


def test_a_foundation_and_what_was_made_from_it(
    models: Models, site_file: Path, key: Path, tmp_path: Path
) -> None:
    foundation = pinned(site_file, "chat")
    pulled = models.do("pull", f"{CHAT}@{foundation}", "--as", f"{CHAT}:1")
    assert (pulled["digest"], pulled["changed"]) == (foundation, True)
    shown = models.do("show", f"{CHAT}:1")
    assert shown["model"]["architecture"] == "llama"
    source = fine_tuned_files(models.layout, shown["files"], tmp_path / "tuned")
    lineage = {"method": "fine-tune", "parents": [{"digest": foundation}]}
    (tmp_path / "lineage.json").write_text(json.dumps(lineage))
    words = ("add", str(source), f"{CHAT}:2", "--lineage", str(tmp_path / "lineage.json"))
    tuned = models.do(*words)["digest"]
    (edge,) = models.do("lineage", f"{CHAT}:2")["next"]
    assert (edge["digest"], edge["versions"]) == (foundation, [f"{CHAT}:1"])
    diff = models.do("diff", f"{CHAT}:1", f"{CHAT}:2")
    assert (len(diff["changed"]), len(diff["same"])) == (1, len(shown["files"]) - 1)

    promote = ("model", "promote", f"{CHAT}:2", "--yes")
    assert models.refused(*promote) == "SIGNATURE_MISSING"
    assert models.do("show", f"{CHAT}:2")["stage"] == "candidate"
    models.do("sign", f"{CHAT}:2", "--key", str(key))
    before = now()
    for _ in range(2):
        models.cli.json(*promote)
    assert models.do("history", CHAT, "--at", before)["production"] is None
    assert models.do("history", CHAT, "--at", now())["production"]["digest"] == tuned
    assert models.do("audit")["findings"] == []


def test_production_serves_when_the_lock_moves(
    models: Models,
    site_file: Path,
    permafrost: Cli,
    status: Status,
    key: Path,
    tmp_path: Path,
) -> None:
    first = pinned(site_file, "pulse")
    models.do("pull", f"{PULSE}@{first}", "--as", f"{PULSE}:1")
    second = fine_tuned_pulse(models.layout, first, f"{PULSE}:2", tmp_path / "bundle.tar")
    assert models.do("import", str(tmp_path / "bundle.tar"))["versions"][0]["digest"] == second
    assert models.refused("plan") == "LOCK_MISSING"

    models.release(f"{PULSE}:1", key)
    models.do("lock", "--update", "--yes")
    assert models.refused("plan") == "SIGNATURE_MISSING"  # chat, and what the registry holds
    models.do("pull", f"{CHAT}@{pinned(site_file, 'chat')}", "--as", f"{CHAT}:1")
    models.do("sign", f"{CHAT}:1", "--key", str(key))
    for label in (f"{CHAT}:1", f"{PULSE}:1"):
        assert models.do("push", label)["bytes_moved"] < 100_000  # the signature alone
    assert models.cli.json("plan")["steps"] == []

    while_first = now()
    models.release(f"{PULSE}:2", key)
    assert models.cli.json("plan")["steps"] == []  # a promotion moves nothing
    (step,) = models.do("lock", "--update", "--yes")["steps"]
    assert (step["before"], step["after"]) == (first, second)
    assert models.refused("plan") == "CHECKPOINT_MISSING"
    models.do("push", f"{PULSE}:2")
    try:
        models.cli.run("deploy", "--yes", timeout=600)
        replicas = endpoint(status(), "pulse")["replicas"]
        assert {r["checkpoint"] for r in replicas} == {second}
        assert {r["state"] for r in replicas} == {"ADMITTED"}
    finally:
        permafrost.run("deploy", "--yes", timeout=600)  # as the other scenarios know it
    assert {r["checkpoint"] for r in endpoint(status(), "pulse")["replicas"]} == {first}
    held = [models.do("history", PULSE, "--at", at)["production"] for at in (while_first, now())]
    assert [h["digest"] for h in held] == [first, second]
