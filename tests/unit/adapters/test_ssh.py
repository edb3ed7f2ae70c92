"""The shell over a stand-in for the ``ssh`` program that writes down how it was called."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from permafrost.adapters.ssh import SshShell
from permafrost.engine.waiting import SystemClock, wait_until
from permafrost.errors import Failed

FAKE = """#!/bin/sh
echo "$0 $*" >> "{log}"
case "$*" in *"-O exit"*) exit 0;; esac
eval "$(cat "{script}")"
"""


class Bench:
    """A shell, what its ``ssh`` does, and the calls that were made."""

    def __init__(self, folder: Path) -> None:
        self.log, self.script = folder / "log", folder / "script"
        self.state = folder / "state"
        (self.state / "ssh").mkdir(parents=True)
        binary = folder / "bin" / "ssh"
        binary.parent.mkdir()
        binary.write_text(FAKE.format(log=self.log, script=self.script))
        binary.chmod(0o755)
        self.control = folder / "run"
        self.shell = SshShell(self.state, {"n1": "10.0.0.1"})

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return Bench(tmp_path)


def test_a_command_goes_quoted_and_its_streams_come_back(bench: Bench) -> None:
    bench.script.write_text("cat; echo oops >&2; exit 3")
    done = bench.shell.run("n1", ["echo", "a b", "$HOME"], stdin="words")
    assert (done.status, done.stdout, done.stderr) == (3, "words", "oops\n")
    (call,) = bench.calls()
    assert call.endswith("permafrost@10.0.0.1 -- echo 'a b' '$HOME'")
    assert "HostKeyAlias=n1" in call
    assert "StrictHostKeyChecking=accept-new" in call
    assert f"UserKnownHostsFile={bench.state}/ssh/known_hosts" in call
    path = next(w for w in call.split() if w.startswith("ControlPath="))
    assert len(path.removeprefix(f"ControlPath={bench.state.parent}")) < 50, (
        "sockets need it short"
    )


def test_trouble_of_ssh_is_told_with_its_last_words(bench: Bench) -> None:
    bench.script.write_text("echo 'No route to host' >&2; exit 255")
    with pytest.raises(Failed, match="NODE_UNREACHABLE: n1: No route to host"):
        bench.shell.run("n1", ["true"])


def test_a_stale_shared_connection_is_tried_once_more(bench: Bench) -> None:
    bench.shell.run("n1", ["true"])
    bench.log.unlink()
    folder = (bench.state / "ssh" / "control").readlink()
    assert folder.name.startswith("permafrost-")
    (folder / "n1").touch()
    mark = bench.log.parent / "second"
    bench.script.write_text(
        f'if [ -e "{mark}" ]; then echo back; else touch "{mark}"; exit 255; fi'
    )
    assert bench.shell.run("n1", ["true"]).stdout == "back\n"
    assert [("-O exit" in c) for c in bench.calls()] == [False, True, False]


def test_a_command_that_hangs_has_a_deadline(bench: Bench) -> None:
    bench.script.write_text("exec sleep 20")
    with pytest.raises(Failed, match=r"no answer to `sudo` within 0\.3 s"):
        bench.shell.run("n1", ["sudo", "x"], deadline_s=0.3)


def test_many_threads_make_the_folder_of_sockets_at_once(bench: Bench) -> None:
    for _ in range(20):
        shells = [SshShell(bench.state, {"n1": "10.0.0.1"}) for _ in range(16)]
        with ThreadPoolExecutor(16) as pool:
            done = list(pool.map(lambda shell: shell._control, shells))
        assert len(set(done)) == 1
        (bench.state / "ssh" / "control").unlink()
    assert not list((bench.state / "ssh").glob(".control*"))


def test_sockets_never_lie_in_a_folder_of_others(bench: Bench) -> None:
    assert not (bench.state / "ssh" / "control").exists(), "no folder before it is needed"
    bench.shell.run("n1", ["true"])
    (bench.state / "ssh" / "control").readlink().chmod(0o755)
    with pytest.raises(Failed, match="CONTROL_FOLDER_UNSAFE"):
        SshShell(bench.state, {"n1": "10.0.0.1"}).run("n1", ["true"])


def test_without_a_guard_commands_run_all_the_same(bench: Bench) -> None:
    broken = bench.log.parent / "bin" / "setsid"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    bench.script.write_text("echo well")
    assert bench.shell.run("n1", ["true"]).stdout == "well\n"


COMMAND = """
import os, signal, sys
from pathlib import Path
from permafrost.adapters.ssh import SshShell
shell = SshShell(Path(sys.argv[1]), {"n1": "10.0.0.1", "n2": "10.0.0.2"})
shell.run("n1", ["true"])
shell.run("n2", ["true"])
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("how", ["killed", "in order"])
def test_connections_that_a_killed_command_opened_end_and_others_stay(
    bench: Bench, how: str
) -> None:
    bench.script.write_text("true")
    bench.shell.disconnect("n1")
    folder = (bench.state / "ssh" / "control").readlink()
    (folder / "n1").touch()
    bench.log.unlink()
    subprocess.run(
        [sys.executable, "-c", COMMAND, str(bench.state), how], capture_output=True, check=False
    )
    assert wait_until(lambda: not guards(folder), clock=SystemClock(), deadline_s=10)
    ended = [call.split()[-1] for call in bench.calls() if "-O exit" in call]
    assert ended == (["n2"] if how == "killed" else []), "n1 was open before"


TUNNEL = """
import signal, sys
from pathlib import Path
from permafrost.adapters.ssh import SshShell
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with SshShell(Path(sys.argv[1]), {"n1": "10.0.0.1"}).forwarded("n1", 19530):
    print("open")
print("closed")
"""

LISTENS = """
import re, signal, socket, sys
port = int(re.search(r"-L 127.0.0.1:([0-9]+):10.0.0.1:19530", " ".join(sys.argv)).group(1))
socket.create_server(("127.0.0.1", port)).accept()
signal.pause()
"""


def test_a_tunnel_ends_though_the_command_was_begun_with_signals_ignored(bench: Bench) -> None:
    program = bench.log.parent / "listens.py"
    program.write_text(LISTENS)
    bench.script.write_text(f'exec {sys.executable} {program} "$@"')
    ended = subprocess.run(
        [sys.executable, "-c", TUNNEL, str(bench.state)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.stdout.split(), ended.returncode) == (["open", "closed"], 0), ended.stderr


def guards(folder: Path) -> list[str]:
    """Return the processes that watch over connections in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if line.endswith(f"permafrost-ssh\0{folder}\0".encode()):
            found.append(entry.name)
    return found
