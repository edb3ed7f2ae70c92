"""``python -m model_registry`` as a person types it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from model_registry import digests
from model_registry.__main__ import main
from model_registry.layout import OciLayout


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    status = main([str(a) for a in arguments])
    return status, json.loads(capsys.readouterr().out)


def test_add_show_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, layout = tmp_path / "files", str(tmp_path / "oci")
    folder.mkdir()
    (folder / "model.weights").write_bytes(b"weights")
    _, added = run(capsys, "add", layout, "tiny", str(folder))
    _, shown = run(capsys, "show", layout)
    (checkpoint,) = shown["checkpoints"]
    assert (checkpoint["name"], checkpoint["checkpoint"]) == ("tiny", added["checkpoint"])
    assert checkpoint["files"] == [
        {"path": "model.weights", "digest": digests.of_bytes(b"weights"), "size": 7}
    ]
    assert run(capsys, "verify", layout, added["checkpoint"])[0] == 0
    OciLayout(Path(layout)).blob_path(digests.of_bytes(b"weights")).write_bytes(b"weighty")
    status, verdict = run(capsys, "verify", layout, added["checkpoint"])
    assert (status, verdict["wrong"]) == (3, ["model.weights"])


def test_what_is_not_there_is_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(tmp_path / "none")]) == 4
    assert capsys.readouterr().err.startswith("LAYOUT_INVALID")


def test_a_pickle_is_refused_unless_allowed_and_then_marked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, layout = tmp_path / "model.bin", tmp_path / "oci"
    file.write_bytes(pickle.dumps({"w": [1.0]}))
    assert main(["add", str(layout), "tiny", str(file)]) == 3
    assert capsys.readouterr().err.startswith("UNSAFE_SERIALISATION")
    assert not layout.exists()
    _, added = run(capsys, "add", str(layout), "tiny", str(file), "--allow-unsafe")
    manifest = OciLayout(layout).read_json(added["checkpoint"])
    assert manifest["annotations"]["vnd.permafrost.unsafe"] == "model.bin"


@pytest.mark.parametrize("option", ["--password-file", "--ca-file"])
def test_a_file_that_cannot_be_read_is_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    OciLayout.create(tmp_path / "oci")
    words = ["push", str(tmp_path / "oci"), "oci://127.0.0.1:9", "tiny"]
    assert main([*words, option, str(tmp_path / "none")]) == 4
    assert capsys.readouterr().err.startswith("STORE_FAILED")


def test_a_name_is_one_here_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.weights").write_bytes(b"weights")
    words = ["add", str(tmp_path / "oci"), "Not A Name", str(tmp_path / "model.weights")]
    assert main(words) == 3
    assert capsys.readouterr().err.startswith("NAME_INVALID")
    assert not (tmp_path / "oci").exists()
