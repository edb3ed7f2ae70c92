"""An edge that stops ends what clients have open first, with a real HAProxy."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from permafrost.adapters.ssh import CommandResult
from tests.contract.ports.haproxy import Edge, LocalShell, running_edge
from tests.contract.ports.test_edge_memory import soon

ONE = "lab-chat-01"
COMMAND = ("sudo", "-n", "/usr/local/sbin/permafrost-haproxy")


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with running_edge(tmp_path, (ONE,)) as found:
        yield found


def finish(folder: Path, seconds: int) -> CommandResult:
    return LocalShell(folder).run("lab-edge-01", (*COMMAND, "--finish", str(seconds)))


def asked(folder: Path) -> int:
    told = LocalShell(folder).run("lab-edge-01", (*COMMAND, "--streams", ONE)).stdout
    return len(json.loads(told)["streams"])


def test_what_is_open_is_waited_for(edge: Edge, tmp_path: Path) -> None:
    edge.ask()
    soon(lambda: asked(tmp_path) == 1)
    said: list[CommandResult] = []
    waits = threading.Thread(target=lambda: said.append(finish(tmp_path, 20)))
    before = edge.current_worker()
    waits.start()
    soon(lambda: edge.current_worker() not in ("", before))
    assert waits.is_alive(), "it is still open"
    edge.let_go()
    waits.join(20)
    assert json.loads(said[0].stdout) == {"left": 0}


def test_what_is_open_too_long_is_counted(edge: Edge, tmp_path: Path) -> None:
    edge.ask()
    soon(lambda: asked(tmp_path) == 1)
    assert json.loads(finish(tmp_path, 1).stdout) == {"left": 1}
    edge.let_go()


def test_a_configuration_that_no_worker_takes_ends_nothing(edge: Edge, tmp_path: Path) -> None:
    with (tmp_path / "haproxy.cfg").open("a", encoding="utf-8") as file:
        file.write("no such word\n")
    done = finish(tmp_path, 1)
    assert done.status == 1
    assert "no new worker" in done.stderr
    assert edge.serves()
