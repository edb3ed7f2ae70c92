"""`permafrost model sign, verify --signature, audit --key`, and a site that demands signatures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from permafrost.cli.main import run
from tests.fakes.site import document, write_site
from tests.unit.model_registry.keys import keys

Say = Any


@pytest.fixture(autouse=True)
def _no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERMAFROST_SITE", raising=False)
    monkeypatch.delenv("PERMAFROST_MODELS", raising=False)


@pytest.fixture
def say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    def typed(*words: str, status: int = 0) -> Any:
        words = ("model", *words, "--home", str(tmp_path / "home"), "--output", "json")
        assert run([*words]) == status
        said = capsys.readouterr()
        return json.loads(said.err if status in (2, 3) else said.out)

    return typed


@pytest.fixture
def site(tmp_path: Path) -> str:
    keys(tmp_path, "release")
    values = document()
    values["inference"]["chat"]["model"] = "chat@production"
    del values["inference"]["pulse"]
    values["registry"]["signatures"] = {"signers": {"release": "release.pub"}}
    return str(write_site(tmp_path, values))


def weights(folder: Path) -> str:
    folder.mkdir()
    (folder / "model.bin").write_bytes(folder.name.encode())
    return str(folder)


def test_a_site_that_demands_a_signature_gets_it(say: Say, site: str, tmp_path: Path) -> None:
    made = say("add", weights(tmp_path / "one"), "chat:1")
    (missing,) = say("promote", "chat:1", "--yes", "--site", site, status=3)
    assert missing["code"] == "SIGNATURE_MISSING"
    words = ("promote", "chat:1", "--yes", "--no-policy", "--site", site)
    assert say(*words, status=3)[0]["code"] == "SIGNATURE_MISSING", "a site's demand holds"
    stranger, _ = keys(tmp_path, "stranger")
    say("sign", "chat:1", "--key", str(stranger.key))
    (other,) = say("promote", "chat:1", "--yes", "--site", site, status=3)
    assert other["code"] == "SIGNATURE_UNTRUSTED"
    assert say("show", "chat:1")["stage"] == "candidate"
    unsigned = say("verify", "chat:1", "--signature", "--site", site, status=4)["versions"][0]
    assert (unsigned["holds"], unsigned["wrong"], unsigned["signed_by"]) == (False, [], [])

    signed = say("sign", "chat:1", "--key", str(tmp_path / "release.key"), "--why", "evaluated")
    assert (signed["changed"], signed["digest"]) == (True, made["digest"])
    assert not say("sign", "chat:1", "--key", str(tmp_path / "release.key"))["changed"]
    (checked,) = say("verify", "chat:1", "--signature", "--site", site)["versions"]
    assert checked["signed_by"] == ["release"]
    for _ in range(2):
        say("promote", "chat:1", "--yes", "--site", site)
    kinds = [e["kind"] for e in say("history", "chat")["events"]]
    assert kinds == ["add", "sign", "sign", "stage", "stage"]
    assert say("audit")["findings"] == []


def test_the_lock_holds_only_what_may_be_deployed(say: Say, site: str, tmp_path: Path) -> None:
    say("add", weights(tmp_path / "one"), "chat:1")
    for _ in range(2):
        say("promote", "chat:1", "--no-policy", "--yes")  # no site: nobody demands
    (refused,) = say("lock", "--update", "--yes", "--site", site, status=3)
    assert refused["code"] == "SIGNATURE_MISSING"
    assert not (tmp_path / "models.lock").exists()
    say("sign", "chat:1", "--key", str(tmp_path / "release.key"))
    assert say("lock", "--update", "--yes", "--site", site)["updated"]
    locked = json.loads((tmp_path / "models.lock").read_text())["models"]
    assert list(locked) == ["chat@production"]


def test_nobody_named_as_signer_is_told(say: Say, tmp_path: Path) -> None:
    say("add", weights(tmp_path / "one"), "chat:1")
    (refused,) = say("verify", "--signature", status=3)
    assert refused["code"] == "SIGNER_NOT_NAMED"


def test_a_head_is_exported_signed_and_believed_signed_only(say: Say, tmp_path: Path) -> None:
    say("add", weights(tmp_path / "one"), "chat:1")
    keys(tmp_path, "release")
    keys(tmp_path, "stranger")
    head = str(tmp_path / "head.json")
    say("audit", "--export-head", head, "--key", str(tmp_path / "release.key"))
    trust = ("audit", "--against", head, "--signer")
    assert say(*trust, str(tmp_path / "release.pub"))["findings"] == []
    (refused,) = say(*trust, str(tmp_path / "stranger.pub"), status=3)
    assert refused["code"] == "HEAD_SIGNATURE_INVALID"
    Path(f"{head}.sig").unlink()
    (refused,) = say(*trust, str(tmp_path / "release.pub"), status=3)
    assert refused["code"] == "HEAD_UNSIGNED"
