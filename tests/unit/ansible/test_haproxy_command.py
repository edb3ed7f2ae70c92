"""The program that lands on each node as permafrost-haproxy, run against a UNIX socket."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.golden.ansible.programs import load_program


@pytest.fixture
def program(tmp_path: Path) -> ModuleType:
    return load_program(tmp_path, "haproxy/permafrost-haproxy.py.j2", "oslo-edge-01")


@pytest.fixture
def haproxy(tmp_path: Path, program: ModuleType) -> Iterator[None]:
    """A socket that answers each command with its own words, as HAProxy does, then closes."""
    path = tmp_path / "admin.sock"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection:
                    command = connection.recv(1000).decode().strip()
                    connection.sendall(f"<{command}>\n\n".encode())

    threading.Thread(target=serve, daemon=True).start()
    program.RUNTIME = str(path)
    program.STATE = str(tmp_path / "server-state")
    yield
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def _run(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, *options: str, text: str = ""
) -> int:
    monkeypatch.setattr(sys, "argv", ["permafrost-haproxy", *options])
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    return int(program.main())


@pytest.mark.usefixtures("haproxy")
def test_answers_come_in_the_order_of_the_commands(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(program, monkeypatch, text="show stat\n\nshow info\n") == 0
    assert capsys.readouterr().out == "<show stat>\n\n<show info>\n\n"


@pytest.mark.usefixtures("haproxy")
def test_json_tells_commands_apart(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(program, monkeypatch, "--json", text="a\nb\n") == 0
    assert json.loads(capsys.readouterr().out) == [
        {"command": "a", "answer": "<a>\n\n"},
        {"command": "b", "answer": "<b>\n\n"},
    ]


@pytest.mark.usefixtures("haproxy")
def test_the_states_are_saved_for_the_next_worker(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _run(program, monkeypatch, "--save-state") == 0
    assert Path(program.STATE).read_text() == "<show servers state>\n\n"


def test_no_haproxy_is_a_failure(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program.RUNTIME = str(tmp_path / "none.sock")
    assert _run(program, monkeypatch, text="show stat\n") == 1
