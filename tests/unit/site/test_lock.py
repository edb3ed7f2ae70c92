"""A site that names models by their stage means what `models.lock` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from permafrost.errors import Refused
from permafrost.site.load import load_site
from tests.fakes.site import document, write_site

DIGEST = "sha256:" + "9" * 64


def site(folder: Path, chat: str = "chat@production") -> Path:
    values = document()
    values["inference"]["chat"]["model"] = chat
    return write_site(folder, values)


def lock(folder: Path, **models: str) -> None:
    found: dict[str, Any] = {
        f"{name}@production": {"version": "1", "digest": digest} for name, digest in models.items()
    }
    (folder / "models.lock").write_text(json.dumps({"schema": 1, "models": found}))


@pytest.mark.parametrize("written", ["chat@production", "checkpoints/chat@production"])
def test_a_stage_becomes_the_digest_of_the_lock(tmp_path: Path, written: str) -> None:
    path = site(tmp_path, written)
    lock(tmp_path, chat=DIGEST, unused=DIGEST)
    loaded = load_site(path)
    assert loaded.site.inference["chat"].model == f"chat@{DIGEST}"
    assert loaded.references == {"chat": "chat@production"}
    pulse = document()["inference"]["pulse"]["model"]
    assert loaded.site.inference["pulse"].model == pulse  # a digest stays what it is


def test_without_the_lock_the_reference_stays_for_who_asks(tmp_path: Path) -> None:
    loaded = load_site(site(tmp_path), is_locked=False)
    assert loaded.site.inference["chat"].model == "chat@production"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "LOCK_MISSING"),
        ({"schema": 1, "models": {}}, "LOCK_WITHOUT_MODEL"),
        ({"models": {"chat@production": {"version": "1", "digest": "x"}}}, "LOCK_INVALID"),
        ("no JSON", "LOCK_INVALID"),
    ],
)
def test_a_lock_that_does_not_say_it_is_refused(
    tmp_path: Path, content: object, code: str
) -> None:
    path = site(tmp_path)
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "models.lock").write_text(text)
    with pytest.raises(Refused) as caught:
        load_site(path)
    (problem,) = caught.value.problems
    assert (problem.code, "model lock --update" in problem.hint) == (code, True)


def test_a_site_of_digests_needs_no_lock(tmp_path: Path) -> None:
    path = write_site(tmp_path)
    (tmp_path / "models.lock").write_text("no JSON")
    assert load_site(path).references == {}


@pytest.mark.parametrize("model", ["chat@candidate", "chat@", "chat", "chat@sha256:12"])
def test_other_forms_are_refused(tmp_path: Path, model: str) -> None:
    with pytest.raises(Refused, match="SITE_VALUE_INVALID"):
        load_site(site(tmp_path, model))


def test_a_signer_without_its_file_is_a_problem_of_the_site(tmp_path: Path) -> None:
    values = document()
    values["registry"]["signatures"] = {"signers": {"release": "release.pub"}}
    with pytest.raises(Refused) as caught:
        load_site(write_site(tmp_path, values))
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == (
        "FILE_UNREADABLE",
        "registry.signatures.signers.release",
    )
