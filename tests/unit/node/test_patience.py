"""A start that goes on is given more time by systemd; one that hangs is not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from permafrost.node.patience import EVERY_S, EXTEND_S, Patience


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The listening half of sd_notify."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def heard(systemd: socket.socket) -> list[str]:
    said = []
    while True:
        try:
            said.append(systemd.recv(100).decode())
        except BlockingIOError:
            return said


def test_bytes_that_are_read_move_the_deadline_and_nothing_else_does(
    systemd: socket.socket,
) -> None:
    times = iter([0.0, 1.0, EVERY_S, EVERY_S, EVERY_S + 1, 3 * EVERY_S, 3 * EVERY_S])
    patience = Patience(lambda: next(times))
    patience(1)
    assert heard(systemd) == [], "the deadline is far away"
    patience(1 << 20)
    assert heard(systemd) == [f"EXTEND_TIMEOUT_USEC={EXTEND_S * 1_000_000}"]
    patience(1)
    assert heard(systemd) == []
    patience(0)
    assert heard(systemd) == [], "nothing was read"
    patience(1)
    assert len(heard(systemd)) == 1


def test_where_nobody_listens_nothing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    times = iter([0.0, 9.0, 9.0])
    Patience(lambda: next(times))(1)
    monkeypatch.delenv("NOTIFY_SOCKET")
    Patience()(1)
