"""Language models deployed by lock: a child of the foundation, then a newer foundation.

Of each: what every replica says it has loaded is what was promoted, one behaviour on all three,
and a hundred of a hundred answers alike through the edge. Takes the site through three
deployments, so it is soak: `pytest -m soak tests/acceptance/test_foundations.py` on a running lab.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.checkpoints import archived
from tests.acceptance.conftest import endpoint
from tests.acceptance.driver import ROOT, Cli
from tests.acceptance.models import (
    CHAT,
    PULSE,
    Models,
    name_models,
    now,
    pinned,
    release_key,
    signed_site,
)

pytestmark = pytest.mark.soak
Status = Callable[[], dict[str, Any]]
GEMMA = "gemma-3-270m"
ANSWERS = 100
DEPLOY_S = 1800
"""Each converges every replica, one after the other, on a machine that others may use too."""


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return release_key(tmp_path)


@pytest.fixture
def models(site_file: Path, key: Path, tmp_path: Path) -> Iterator[Models]:
    with signed_site(site_file, key, chat=f"{CHAT}@production") as site:
        yield Models(site, tmp_path / "models")


def built(name: str) -> Path:
    """Return the folder of a part that no lab begins with."""
    said = Cli(ROOT / ".venv/bin/python").run("-m", "lab.build", name, timeout=900).stdout
    return Path(said.split()[-1])


def same_on_all(models: Models, status: Status) -> list[str]:
    """Record on the first replica, compare on every one; returns the serving class of each."""
    classes = []
    for number, replica in enumerate(endpoint(status(), "chat")["replicas"]):
        name = replica["name"]
        models.cli.run("drain", name, "--yes")
        try:
            if number == 0:
                assert models.do("fingerprint", "record", name, "--yes")["passes"]
            found = models.do("fingerprint", "compare", name)
        finally:
            models.cli.run("undrain", name, "--yes")
        comparison = found["comparison"]
        assert (comparison["grade"], comparison["same_class"]) == ("identical", True), found
        assert comparison["compared"] == comparison["positions"] > 100
        classes.append(json.dumps(found["serving_class"], sort_keys=True))
    return classes


def answers(client: httpx.Client, address: str) -> list[tuple[str, str, str]]:
    """Return (text, checkpoint, replica) of a hundred answers to one question."""
    asked = {
        "text_input": "Name three fruits.",
        "sampling_parameters": json.dumps({"max_tokens": 16, "temperature": 0, "seed": 0}),
    }

    def one(_: int) -> tuple[str, str, str]:
        answer = client.post(f"https://{address}/v2/models/chat/generate", json=asked)
        assert answer.status_code == 200, answer.text
        said = answer.headers
        return (
            answer.json()["text_output"],
            said["permafrost-checkpoint"],
            said["permafrost-replica"],
        )

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, range(ANSWERS)))


def test_a_child_and_a_newer_foundation_are_deployed_by_lock(
    models: Models,
    site_file: Path,
    permafrost: Cli,
    status: Status,
    client: httpx.Client,
    key: Path,
    tmp_path: Path,
) -> None:
    foundation = pinned(site_file, "chat")
    for label, digest in ((f"{CHAT}:1", foundation), (f"{PULSE}:1", pinned(site_file, "pulse"))):
        models.do("pull", f"{label.partition(':')[0]}@{digest}", "--as", label)
        models.do("sign", label, "--key", str(key))
        models.do("push", label)
    brought = {}
    for part, label in (("checkpoint-child", f"{CHAT}:q4-0"), ("checkpoint-gemma", f"{GEMMA}:1")):
        bundle = tmp_path / f"{part}.tar"
        digest = archived(built(part), label, bundle)
        (taken,) = models.do("import", str(bundle))["versions"]
        assert taken["digest"] == digest
        bundle.unlink()
        brought[label] = digest
    child = models.do("lineage", f"{CHAT}:q4-0")
    assert (child["lineage"]["method"], child["next"][0]["digest"]) == ("quantise", foundation)
    shown = models.do("show", f"{GEMMA}:1")
    assert shown["model"]["architecture"] == "gemma3"
    assert (shown["model"]["contextTokens"], shown["lineage"]) == ("32768", {"method": "pretrain"})

    texts, moments, loaded = [], [], {}
    before = endpoint(status(), "chat")["address"]
    texts.append(answers(client, before)[0][0])
    try:
        for label, digest in brought.items():
            name = label.partition(":")[0]
            name_models(site_file, models.site, key, chat=f"{name}@production")
            models.release(label, key)
            models.do("lock", "--update", "--yes")
            models.do("push", label)
            models.cli.run("deploy", "--yes", timeout=DEPLOY_S)
            chat = endpoint(status(), "chat")
            assert [(r["checkpoint"], r["state"]) for r in chat["replicas"]] == [
                (digest, "ADMITTED")
            ] * 3
            assert len(set(same_on_all(models, status))) == 1
            given = answers(client, chat["address"])
            assert len(given) == ANSWERS
            assert {(text, checkpoint) for text, checkpoint, _ in given} == {(given[0][0], digest)}
            assert {replica for _, _, replica in given} == {r["name"] for r in chat["replicas"]}
            texts.append(given[0][0])
            moments.append(now())
            loaded[name] = digest
    finally:
        permafrost.run("deploy", "--yes", timeout=DEPLOY_S)  # as the other scenarios know it
    assert {r["checkpoint"] for r in endpoint(status(), "chat")["replicas"]} == {foundation}
    assert len(set(texts)) == 3, "three checkpoints that answer alike show nothing"
    for name, at in zip((CHAT, GEMMA), moments, strict=True):
        held = models.do("history", name, "--at", at)["production"]
        assert held["digest"] == loaded[name]
    assert models.do("audit")["findings"] == []
