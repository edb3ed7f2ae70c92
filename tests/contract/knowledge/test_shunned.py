"""Nobody waits for a machine that answers nothing: the rules as nftables takes them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tests.contract.knowledge.shunned import ALIVE, LOST, SILENT, WATCH
from tests.golden.ansible.programs import load_program

ROOT = Path(__file__).resolve().parents[3]
WALLS = ROOT / "tests/golden/ansible/files/nftables.conf"


def test_a_member_that_answers_nothing_is_refused_until_it_is_back(tmp_path: Path) -> None:
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "tests.contract.knowledge.shunned",
         str(WALLS), str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    refused = {LOST: "refused", ALIVE: "answered"}
    both = {LOST: "answered", ALIVE: "answered"}
    assert found == {
        "without walls": both,
        "with walls": both,
        "shunned": refused,
        "its machine": {LOST: "True"},
        "a silent machine": {SILENT: "refused, False"},
        "what stood before": {LOST: "stands"},
        "said again": refused,
        "said no more": both,
        "back": both,
        "back, said twice": both,
    }
    assert f"connections to ['{LOST}'] stay as they are: " in done.stderr, "without walls"


@pytest.fixture
def program(tmp_path: Path) -> ModuleType:
    return load_program(tmp_path, WATCH, "bergen-knowledge-02")


def test_who_is_refused_is_said_again_in_time_and_who_is_back_at_once(program: ModuleType) -> None:
    peers = program.Peers([LOST, ALIVE])
    assert peers.to_shun(0.0, []) == (None, [])
    assert peers.to_shun(0.5, [LOST]) == ([LOST], [])
    assert peers.to_shun(1.0, [LOST]) == (None, [])
    assert peers.to_shun(2.5, [LOST]) == ([LOST], []), "before it ends by itself"
    assert program.SHUN_EVERY_S < program.SHUNNED_S / 2
    assert peers.to_shun(3.0, [ALIVE, LOST]) == ([ALIVE, LOST], []), "another one, at once"
    assert peers.to_shun(3.5, [ALIVE]) == (None, [LOST])
    assert peers.to_shun(4.0, []) == (None, [ALIVE])
    assert peers.to_shun(9.0, []) == (None, [])


def test_where_nothing_can_be_refused_the_watch_goes_on(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (FileNotFoundError("no nft"), subprocess.TimeoutExpired("nft", 10)):

        def fails(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(program.subprocess, "run", fails)
        program.shun([LOST], [])
        assert f"connections to ['{LOST}'] stay as they are" in capsys.readouterr().out


class _Enough(BaseException):
    """Ends what goes on for ever."""


@pytest.mark.parametrize(("waited_s", "apart_s"), [(0.5, 0.6), (0.0, 0.5)])
def test_a_silent_member_is_asked_without_a_pause(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, waited_s: float, apart_s: float
) -> None:
    """Its silence counts from when a question was sent; what that waited is no time to lose."""
    now, asked = 100.0, []

    def passes(seconds: float) -> None:
        nonlocal now
        now += seconds

    def answers(_: str) -> bool:
        passes(waited_s)
        return not waited_s

    def forget_lost(_: object, __: object, ___: object, ____: int, when: float) -> None:
        asked.append(when)
        if len(asked) == 4:
            raise _Enough

    monkeypatch.setattr(program, "time", SimpleNamespace(monotonic=lambda: now, sleep=passes))
    monkeypatch.setattr(program, "answers", answers)
    monkeypatch.setattr(program, "forget_lost", forget_lost)
    with pytest.raises(_Enough):
        program.mind_peers({"peers": [LOST]})
    assert asked == pytest.approx([100.0 + apart_s * n for n in range(4)])
