"""Language models deployed by lock: a child of the foundation, then a newer foundation.

Of each: what every replica says it has loaded is what was promoted, one behaviour on all three,
and a hundred of a hundred answers alike through the edge. Each takes the site through a deployment
of all replicas, so it is soak: `pytest -m soak tests/acceptance/test_foundations.py`.
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
from tests.acceptance.driver import Cli
from tests.acceptance.models import (
    CHAT,
    PULSE,
    Models,
    built,
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


@pytest.fixture(scope="module", autouse=True)
def as_it_was(site_file: Path, permafrost: Cli) -> Iterator[None]:
    """The site serves at the end what the other scenarios know."""
    yield
    permafrost.run("deploy", "--yes", timeout=DEPLOY_S)
    serving = endpoint(permafrost.json("status"), "chat")["replicas"]
    assert {r["checkpoint"] for r in serving} == {pinned(site_file, "chat")}


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


def answers(
    client: httpx.Client, address: str, count: int = ANSWERS
) -> list[tuple[str, str, str]]:
    """Return (text, checkpoint, replica) of so many answers to one question."""
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
        return list(pool.map(one, range(count)))


def is_child(models: Models, label: str, foundation: str) -> None:
    told = models.do("lineage", label)
    assert (told["lineage"]["method"], told["next"][0]["digest"]) == ("quantise", foundation)


def is_newer(models: Models, label: str, _: str) -> None:
    shown = models.do("show", label)
    assert shown["model"]["architecture"] == "gemma3"
    assert (shown["model"]["contextTokens"], shown["lineage"]) == ("32768", {"method": "pretrain"})


BROUGHT = {
    "a child": ("checkpoint-child", f"{CHAT}:q4-0", is_child),
    "a newer foundation": ("checkpoint-gemma", f"{GEMMA}:1", is_newer),
}


@pytest.mark.parametrize("what", BROUGHT)
def test_a_language_model_is_deployed_by_lock(
    what: str,
    models: Models,
    site_file: Path,
    status: Status,
    client: httpx.Client,
    key: Path,
    tmp_path: Path,
) -> None:
    part, label, require = BROUGHT[what]
    name = label.partition(":")[0]
    foundation = pinned(site_file, "chat")
    for known, pin in ((f"{CHAT}:1", foundation), (f"{PULSE}:1", pinned(site_file, "pulse"))):
        models.do("pull", f"{known.partition(':')[0]}@{pin}", "--as", known)
        models.do("sign", known, "--key", str(key))
        models.do("push", known)
    bundle = tmp_path / f"{part}.tar"
    digest = archived(built(part), label, bundle)
    (taken,) = models.do("import", str(bundle))["versions"]
    assert taken["digest"] == digest
    bundle.unlink()
    require(models, label, foundation)

    ((text, checkpoint, _),) = answers(client, endpoint(status(), "chat")["address"], 1)
    assert checkpoint != digest, "what is to come serves already"
    before = now()
    name_models(site_file, models.site, key, chat=f"{name}@production")
    models.release(label, key)
    models.do("lock", "--update", "--yes")
    models.do("push", label)
    models.cli.run("deploy", "--yes", timeout=DEPLOY_S)
    chat = endpoint(status(), "chat")
    loaded = [(r["checkpoint"], r["state"]) for r in chat["replicas"]]
    assert loaded == [(digest, "ADMITTED")] * 3
    assert len(set(same_on_all(models, status))) == 1
    given = answers(client, chat["address"])
    assert len(given) == ANSWERS
    assert {(text, checkpoint) for text, checkpoint, _ in given} == {(given[0][0], digest)}
    assert {replica for _, _, replica in given} == {r["name"] for r in chat["replicas"]}
    assert given[0][0] != text, "two checkpoints that answer alike show nothing"
    held = [models.do("history", name, "--at", at)["production"] for at in (before, now())]
    assert (held[0], held[1]["digest"]) == (None, digest)
    assert models.do("audit")["findings"] == []
