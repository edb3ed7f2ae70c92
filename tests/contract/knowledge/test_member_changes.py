"""One change at a time on a member, and the latest one: whoever began one before is ended.

The program runs as on a member; ``systemctl`` and the program that empties are scripts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.contract.knowledge.test_member_empties import calls, script, settings
from tests.golden.ansible.programs import knowledge_program

NAME = "permafrost_knowledge.py"


@pytest.fixture
def member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the program, its settings, and scripts; to empty takes longer than a test."""
    knowledge_program(tmp_path, "bergen-knowledge-02")
    file = tmp_path / NAME
    places = {
        "/etc/permafrost/knowledge.json": "settings.json",
        "/run/permafrost-knowledge.lock": "lock",
        "/usr/local/sbin/permafrost-knowledge-leaders": "leaders",
    }
    text = file.read_text()
    for old, new in places.items():
        assert text.count(f'"{old}"') == 1
        text = text.replace(f'"{old}"', f'"{tmp_path / new}"')
    file.write_text(text)
    stores = {"data": "/", "object_store": "http://127.0.0.1:1", "object_store_ready": "/"}
    stores |= {"object_store_external": False, "object_store_ca": ""}
    told = {**settings(), **stores, "spares": [], "tls": {}, "queue_tls": {}}
    (tmp_path / "settings.json").write_text(json.dumps(told))
    script(tmp_path / "systemctl", "")
    script(tmp_path / "leaders", f"echo $$ > {tmp_path}/emptying; exec sleep 300")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def begin(member: Path, *told: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, member / NAME, *told],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def await_emptying(member: Path) -> int:
    ends = time.monotonic() + 30
    while not (file := member / "emptying").exists() or not file.read_text().strip():
        assert time.monotonic() < ends, "it never began to empty"
        time.sleep(0.02)
    return int(file.read_text())


def is_gone(pid: int) -> bool:
    """Whether a process has ended, or only waits to be asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_what_gives_away_is_ended_by_what_starts_everything_again(member: Path) -> None:
    """Whoever told the first is dead: it would stop, later, what has been started."""
    first = begin(member, "hand-over")
    emptying = await_emptying(member)
    assert begin(member, "take-up").wait(30) == 0
    assert first.wait(30) != 0
    assert is_gone(emptying), "nor does what it had begun go on"
    before, after = calls(member)[0], calls(member)[-1]
    assert before == "systemctl stop milvus-proxies.service"
    assert after.startswith("systemctl start --no-block ")


def test_begun_anew_it_takes_the_place_of_what_began_before(member: Path) -> None:
    first = begin(member, "hand-over")
    emptying = await_emptying(member)
    script(member / "leaders", "echo '{\"left\": 0}'")
    assert begin(member, "hand-over").wait(30) == 0
    assert (first.wait(30) != 0, is_gone(emptying)) == (True, True)


def test_the_number_of_a_process_that_is_long_gone_ends_nobody(member: Path) -> None:
    """What holds the lock has not written who it is yet."""
    stranger = subprocess.Popen(["sleep", "300"], start_new_session=True)
    try:
        (member / "lock").write_text(f"{stranger.pid} hand-over")
        held = subprocess.Popen(["flock", member / "lock", "sleep", "1"], start_new_session=True)
        assert begin(member, "take-up").wait(30) == 0
        assert held.wait(30) == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_looking_waits_for_nobody(member: Path) -> None:
    first = begin(member, "hand-over")
    await_emptying(member)
    assert begin(member, "state").wait(30) == 0
    assert first.poll() is None
    assert begin(member, "take-up").wait(30) == 0
    first.wait(30)
