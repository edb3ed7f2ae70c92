"""Whatever is typed or lies in the state folder: an error with a code, never a traceback."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from permafrost.cli.main import run
from permafrost.engine.database import FILE_NAME
from permafrost.engine.state import StateStore
from permafrost.site.load import load_site
from tests.fakes.site import document, write_site


@pytest.fixture
def site(tmp_path: Path) -> str:
    return str(write_site(tmp_path))


def codes(capsys: pytest.CaptureFixture[str]) -> list[str]:
    found = json.loads(capsys.readouterr().err)
    assert all(e["hint"] and e["message"] for e in found), found
    return [e["code"] for e in found]


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "words",
    [
        ["upgrade", "chat", "--to", "sha256:" + "0" * 64, "--canary"],
        ["upgrade", "chat", "--to", "sha256:" + "0" * 64, "--canary", "5", "--canary-for"],
        ["upgrade", "chat", "--to", "sha256:" + "0" * 64, "--keep-pins"],
        ["rollback", "chat", "--keep-pins"],
        ["drain", "lab-chat-01", "--deadline-s"],
        ["ask", "chat", "hello", "--timeout-s"],
    ],
    ids=" ".join,
)
def test_what_is_no_number_to_count_with_is_the_command_lines(
    site: str, words: list[str], number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, number, "--site", site, "--output", "json"]) == 2
    assert codes(capsys) == ["USAGE"]


OFFLINE = (["history"], ["show", "x"], ["pause", "x"], ["abort", "x", "--yes"],
           ["resume", "x", "--yes"], ["receipt", "verify"], ["client", "list"])  # fmt: skip


@pytest.mark.parametrize("words", OFFLINE, ids=" ".join)
def test_a_state_folder_of_another_site_is_nobodys_to_read(
    site: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    StateStore(load_site(Path(site)).state_dir).claim("another")
    assert run([*words, "--site", site, "--output", "json"]) == 3
    assert codes(capsys) == ["STATE_OF_ANOTHER_SITE"]


@pytest.mark.parametrize("words", OFFLINE, ids=" ".join)
@pytest.mark.parametrize("place", ["a file", "no database"])
def test_a_state_folder_that_is_none(
    site: str, words: list[str], place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = load_site(Path(site)).state_dir
    if place == "a file":
        folder.write_text("")
    else:
        folder.mkdir()
        (folder / FILE_NAME).write_text("this is no database" * 100)
    assert run([*words, "--site", site, "--output", "json"]) == 4
    assert codes(capsys) == ["STATE_UNUSABLE"]


def test_half_a_journal(site: str, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = load_site(Path(site))
    store = StateStore(loaded.state_dir)
    store.claim(loaded.site.site)
    operation = store.begin("deploy", owner="deploy")
    with sqlite3.connect(loaded.state_dir / FILE_NAME) as database:
        database.execute(
            "INSERT INTO journal (operation, step, kind, target, phase, at, detail) "
            "VALUES (?, '01', 'up', 'lab', 'INTENT', 'now', '{\"fing')",
            (operation,),
        )
    assert run(["show", operation, "--site", site, "--output", "json"]) == 4
    assert codes(capsys) == ["STATE_DAMAGED"]


def test_receipts_that_are_no_receipts(site: str, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = load_site(Path(site))
    store = StateStore(loaded.state_dir)
    store.claim(loaded.site.site)
    kept = [store.receipts.append("drain", {}) for _ in range(4)]
    for path, text in zip(kept, ("[]", "null", "{", "\xff"), strict=True):
        path.write_text(text, encoding="latin-1")
    assert run(["receipt", "verify", "--site", site, "--output", "json"]) == 4
    assert codes(capsys) == ["RECEIPT_CHAIN_BROKEN"] * 4
    assert run(["receipt", "verify", "--site", site, "--key", "/dev/null", "--output=json"]) == 3
    assert codes(capsys) == ["RECEIPT_KEY_INVALID"]
    assert run(["receipt", "verify", "--site", site, "--key", "/nowhere", "--output=json"]) != 0
    assert len(codes(capsys)) == 1


NAMED = (["history"], ["status"], ["plan"], ["deploy", "--yes"], ["drain", "x", "--yes"],
         ["undrain", "x", "--plan-only"], ["ok-to-stop", "host", "x"], ["doctor"],
         ["maintenance", "enter", "x", "--yes"], ["maintenance", "status"],
         ["upgrade", "x", "--to", "y", "--yes"], ["rollback", "x", "--yes"],
         ["retire", "x", "--yes"], ["rebuild", "x", "--yes"], ["converge", "x", "--yes"],
         ["preflight"], ["drift"], ["env"], ["destroy", "--yes"], ["resume", "--yes"],
         ["receipt", "verify"])  # fmt: skip


@pytest.mark.parametrize("words", NAMED, ids=" ".join)
def test_a_site_file_with_several_mistakes_is_told_whole(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    values = document()
    values["nonsense"] = 1
    values["inference"]["chat"]["replicas"] = "three"
    path = write_site(tmp_path, values)
    assert run([*words, "--site", str(path), "--output", "json"]) == 3
    assert sorted(codes(capsys)) == ["SITE_KEY_UNKNOWN", "SITE_VALUE_INVALID"]


UNKNOWN = {
    ("drain", "nobody", "--yes"): "REPLICA_UNKNOWN",
    ("undrain", "nobody", "--yes"): "REPLICA_UNKNOWN",
    ("undrain", "nobody", "--plan-only"): "REPLICA_UNKNOWN",
    ("converge", "nobody", "--yes"): "NODE_UNKNOWN",
    ("converge", "nobody", "--check"): "NODE_UNKNOWN",
    ("rebuild", "nobody", "--yes"): "NODE_UNKNOWN",
    ("upgrade", "nobody", "--to", "x", "--yes"): "ENDPOINT_UNKNOWN",
    ("rollback", "nobody", "--yes"): "ENDPOINT_UNKNOWN",
    ("retire", "nobody", "--plan-only"): "ENDPOINT_UNKNOWN",
    ("ask", "nobody", "x"): "ENDPOINT_UNKNOWN",
    ("show", "nobody"): "OPERATION_UNKNOWN",
    ("pause", "nobody"): "OPERATION_UNKNOWN",
    ("resume", "nobody", "--yes"): "OPERATION_UNKNOWN",
    ("abort", "nobody", "--plan-only"): "OPERATION_UNKNOWN",
}


@pytest.mark.parametrize(("words", "code"), UNKNOWN.items(), ids=" ".join)
def test_a_name_that_nobody_has(
    site: str, words: tuple[str, ...], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--site", site, "--output", "json"]) == 3
    assert codes(capsys) == [code]
