"""`permafrost model …` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from permafrost.cli.main import run
from permafrost.engine.state import StateStore
from permafrost.engine.timestamps import now_text
from permafrost.site.load import load_site
from tests.fakes.site import document, write_site


@pytest.fixture(autouse=True)
def _no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERMAFROST_SITE", raising=False)
    monkeypatch.delenv("PERMAFROST_MODELS", raising=False)


class Operator:
    """Types commands about one registry."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._capsys = capsys

    def json(self, *words: str, status: int = 0) -> Any:
        assert run(["model", *words, "--home", str(self.home), "--output", "json"]) == status
        said = self._capsys.readouterr()
        return json.loads(said.err if status in (2, 3) else said.out)

    def text(self, *words: str) -> str:
        assert run(["model", *words, "--home", str(self.home)]) == 0
        return self._capsys.readouterr().out

    def files(self, name: str, weights: bytes) -> str:
        folder = self.home.parent / name
        folder.mkdir(exist_ok=True)
        (folder / "model.safetensors").write_bytes(weights)
        (folder / "tokenizer.json").write_bytes(b"{}")
        return str(folder)


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(tmp_path / "home", capsys)


def test_the_life_of_a_model(operator: Operator, tmp_path: Path) -> None:
    base = operator.json("add", operator.files("one", b"one"), "chat:1", "--why", "foundation")
    document = {
        "method": "fine-tune",
        "parents": [{"digest": base["digest"]}],
        "data_sets": [{"digest": "sha256:" + "a" * 64, "name": "support", "consent": "yes"}],
        "evidence": {"final_loss": 1.25, "steps": 400},
    }
    (tmp_path / "lineage.json").write_text(json.dumps(document))
    tuned = operator.json(
        "add", operator.files("two", b"two"), "chat:2", "--lineage", str(tmp_path / "lineage.json")
    )
    assert operator.json("show", "chat:2")["lineage"] == document
    tree = operator.text("lineage", "chat:2")
    assert "chat:2" in tree.splitlines()[0]
    assert "final_loss 1.25, steps 400  support: consent yes" in tree
    assert "└── chat:1" in tree
    assert operator.json("lineage", "chat:1", "--descendants")["next"][0]["versions"] == ["chat:2"]

    for version in ("1", "1", "2"):
        operator.json("promote", f"chat:{version}", "--no-policy", "--yes", "--why", "good")
    moved = operator.json("promote", "chat@staging", "--no-policy", "--yes")
    assert [(m["version"], m["to"]) for m in moved["moves"]] == [
        ("1", "retired"),
        ("2", "production"),
    ]
    held = operator.json("history", "chat", "--at", moved["at"])["production"]
    assert (held["version"], held["digest"]) == ("2", tuned["digest"])
    assert operator.json("history", "chat", "--at", "2020-01-01")["production"] is None
    assert "promote: 1 production → retired, 2 staging → production" in operator.text(
        "history", "chat"
    )
    stages = {v["version"]: v["stage"] for v in operator.json("list")["versions"]}
    assert stages == {"1": "retired", "2": "production"}
    assert "production" in operator.text("list", "chat")
    assert operator.json("diff", "chat:1", "chat:2")["bytes_moved"] == 3
    assert operator.json("gc", "--retired", "--yes")["versions"] == [], "the way back stays"
    operator.json("demote", "chat:2", "--yes")
    assert operator.json("retire", "chat:2", "--yes")["moves"][0]["to"] == "retired"


def test_across_an_air_gap(operator: Operator, tmp_path: Path) -> None:
    added = operator.json("add", operator.files("one", b"one"), "chat:1")
    operator.json("export", "chat:1", "--to", str(tmp_path / "m.tar"))
    operator.home = tmp_path / "there"
    (arrived,) = operator.json("import", str(tmp_path / "m.tar"))["versions"]
    assert (arrived["digest"], arrived["changed"]) == (added["digest"], True)
    assert "chat:1 whole" in operator.text("verify")


def test_damage_and_edits_exit_4_and_are_named(operator: Operator, tmp_path: Path) -> None:
    operator.json("add", operator.files("one", b"one"), "chat:1")
    head = str(tmp_path / "head.json")
    assert operator.json("audit", "--export-head", head)["findings"] == []
    (blob,) = [
        p for p in (operator.home / "oci/blobs/sha256").iterdir() if p.read_bytes() == b"one"
    ]
    blob.write_bytes(b"0ne")
    (checked,) = operator.json("verify", "chat:1", status=4)["versions"]
    assert checked["wrong"] == ["model.safetensors"]
    for path in operator.home.glob("catalogue.db*"):
        path.unlink()
    (left,) = operator.json("rebuild", status=4)["left_out"]
    assert (left["label"], left["why"].partition(":")[0]) == ("chat:1", "CHECKPOINT_DAMAGED")
    blob.write_bytes(b"one")
    assert operator.json("rebuild")["versions"][0]["changed"]
    (finding,) = operator.json("audit", "--against", head, status=4)["findings"]
    assert finding["code"] == "CHAIN_REWRITTEN"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["show", "chat:9"], "VERSION_UNKNOWN"),
        (["show", "chat"], "REFERENCE_INVALID"),
        (["promote", "chat@production", "--no-policy", "--yes"], "STAGE_EMPTY"),
        (["promote", "chat:1", "--yes"], "POLICY_UNKNOWN"),
        (["demote", "chat:1", "--yes"], "STAGE_NOT_ALLOWED"),
        (["add", "/nowhere", "chat:2"], "FOLDER_MISSING"),
        (["add", "/nowhere", "chat"], "REFERENCE_INVALID"),
        (["audit", "--key", "release.key"], "HEAD_NOT_NAMED"),
        (["audit", "--signer", "release.pub"], "HEAD_NOT_NAMED"),
        (["history", "nobody"], "NAME_UNKNOWN"),
        (["history", "chat", "--at", "noon"], "TIME_INVALID"),
    ],
)
def test_refusals_exit_3_with_a_code(operator: Operator, words: list[str], code: str) -> None:
    operator.json("add", operator.files("one", b"one"), "chat:1")
    (error,) = operator.json(*words, status=3)
    assert error["code"] == code


def test_a_lone_file_is_a_model(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "tiny.safetensors").write_bytes(b"weights")
    operator.json("add", str(tmp_path / "tiny.safetensors"), "tiny:1")
    assert [f["path"] for f in operator.json("show", "tiny:1")["files"]] == ["tiny.safetensors"]


@pytest.mark.parametrize(
    "words", [["export", "chat:1", "--to", "{}/m.tar"], ["audit", "--export-head", "{}/head"]]
)
def test_a_file_that_cannot_be_written_is_named(
    operator: Operator, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    operator.json("add", operator.files("one", b"one"), "chat:1")
    none = str(tmp_path / "none")
    words = [word.format(none) for word in words]
    assert run(["model", *words, "--home", str(operator.home), "--output", "json"]) == 4
    (error,) = json.loads(capsys.readouterr().err)
    assert error["code"] == "STORE_FAILED"
    assert none in error["message"]


@pytest.mark.parametrize("words", [["promote", "chat:1"], ["gc"], ["retire", "chat:1"]])
def test_what_changes_things_asks_for_yes(operator: Operator, words: list[str]) -> None:
    (error,) = operator.json(*words, status=2)
    assert error["code"] == "CONFIRMATION_NEEDED"
    assert not operator.home.exists()


def test_the_lock_moves_only_when_told(
    operator: Operator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = document()
    names = {
        n: e["model"].partition("@")[0].rpartition("/")[2] for n, e in values["inference"].items()
    }
    site = write_site(tmp_path, values)
    for number, name in enumerate(sorted(set(names.values()))):
        operator.json("add", operator.files(f"m{number}", name.encode()), f"{name}:1")
    (error,) = operator.json("lock", "--site", str(site), status=3)
    assert error["code"] == "STAGE_EMPTY"
    for name in sorted(set(names.values())):
        for _ in range(2):
            operator.json("promote", f"{name}:1", "--no-policy", "--yes")
    shown = operator.json("lock", "--site", str(site))
    assert (shown["updated"], len(shown["steps"])) == (False, len(set(names.values())))
    assert shown["apart"] == {n: e["model"] for n, e in values["inference"].items()}
    assert not (tmp_path / "models.lock").exists()
    (tmp_path / ".models.lock.part").mkdir()
    words = ["model", "lock", "--site", str(site), "--update", "--yes"]
    assert run([*words, "--home", str(operator.home), "--output", "json"]) == 4
    assert "STORE_FAILED" in capsys.readouterr().err
    (tmp_path / ".models.lock.part").rmdir()
    assert operator.json("lock", "--site", str(site), "--update", "--yes")["updated"]
    written = json.loads((tmp_path / "models.lock").read_text())
    assert set(written["models"]) == {f"{n}@production" for n in names.values()}
    assert operator.json("lock", "--site", str(site))["steps"] == []
    name = min(names.values())
    assert operator.json("show", f"{name}:1")["pinned_by"] == [f"site:{values['site']}"]
    operator.json("add", operator.files("new", b"new"), f"{name}:2")
    for _ in range(2):
        operator.json("promote", f"{name}:2", "--no-policy", "--yes")
    (step,) = operator.json("lock", "--site", str(site))["steps"]
    assert step["before"] == operator.json("show", f"{name}:1")["digest"]
    assert json.loads((tmp_path / "models.lock").read_text()) == written


def test_show_tells_what_the_files_say(operator: Operator, tmp_path: Path) -> None:
    folder = tmp_path / "facts"
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"weights")
    (folder / "config.json").write_text('{"model_type": "llama", "n_positions": 4096}')
    (folder / "LICENSE").write_text("MIT License")
    operator.json("add", str(folder), "facts:1")
    found = operator.json("show", "facts:1")["model"]
    assert found == {"architecture": "llama", "contextTokens": "4096", "licence": "MIT"}
    assert "licence: MIT" in operator.text("show", "facts:1")


def test_history_says_which_bytes_served_and_who_approved_them(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = operator.json("add", operator.files("one", b"one"), "chat:1")
    for _ in range(2):
        operator.json("promote", "chat:1", "--no-policy", "--yes", "--why", "evaluated")
    site = write_site(tmp_path / "site", document())
    monkeypatch.setenv("PERMAFROST_SITE", str(site))
    now = "2099-01-01T00:00:00Z"
    assert operator.json("history", "chat", "--at", now)["served"] == []
    replica = {"name": "lab-chat-01", "state": "ADMITTED", "checkpoint": added["digest"]}
    store = StateStore(load_site(site, is_locked=False).state_dir)
    store.receipts.append(
        "deploy",
        {
            "command": "deploy",
            "finished_at": now_text(),
            "status": {"endpoints": [{"name": "chat", "replicas": [replica]}]},
        },
    )
    (served,) = operator.json("history", "chat", "--at", now)["served"]
    assert (served["endpoint"], served["checkpoint"]) == ("chat", added["digest"])
    assert (served["version"], served["receipt"]) == ("1", 1)
    assert served["approved"]["why"] == "evaluated"
    assert "served by chat (lab-chat-01): chat:1" in operator.text("history", "chat", "--at", now)
    assert operator.json("history", "chat", "--at", "2020-01-01")["served"] == []


def test_a_reason_cannot_be_taken_for_an_event(operator: Operator) -> None:
    """Neither by a line of its own nor by what a terminal makes of it."""
    forged = "good\n2026-01-01T00:00:00Z  root  promote: 1 staging → production\x1b[2J[red]"
    operator.json("add", operator.files("one", b"one"), "chat:1", "--why", forged)
    (line,) = operator.text("history", "chat").splitlines()
    assert line.endswith(
        r"good\n2026-01-01T00:00:00Z  root  promote: 1 staging → production\x1b[2J[red]"
    )
    (event,) = operator.json("history", "chat")["events"]
    assert event["why"] == forged


def test_one_broken_version_does_not_hide_the_others(operator: Operator) -> None:
    broken = operator.json("add", operator.files("one", b"one"), "chat:1")["digest"]
    operator.json("add", operator.files("two", b"two"), "chat:2")
    manifest = operator.home / "oci/blobs/sha256" / broken.removeprefix("sha256:")
    manifest.write_bytes(manifest.read_bytes() + b" ")
    found = {v["version"]: v for v in operator.json("verify", status=4)["versions"]}
    assert found["chat:1"]["damages"] == [{"path": "manifest", "code": "MANIFEST_CHANGED"}]
    assert found["chat:2"]["holds"]
    assert not found["chat:1"]["holds"]


def test_every_command_speaks_json() -> None:
    import typer

    from permafrost.cli.model import app

    def commands(group: Any, prefix: str = "") -> dict[str, Any]:
        found = {}
        for name, one in group.commands.items():
            is_group = hasattr(one, "commands")
            found |= commands(one, f"{name} ") if is_group else {prefix + name: one}
        return found

    known = commands(typer.main.get_command(app))
    silent = [n for n, c in known.items() if all("--output" not in p.opts for p in c.params)]
    assert silent == []
    named = {
        *("add", "list", "show", "lineage", "promote", "demote", "retire", "history", "verify"),
        *("sign", "pull", "push", "diff", "lock", "audit", "gc", "export", "import", "rebuild"),
        *("fingerprint record", "fingerprint compare", "fingerprint rebaseline"),
    }
    assert named <= known.keys()
