"""The service as root and the edges see it, over its real servers."""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from permafrost.node import __main__ as command
from permafrost.node import control, refusals, served, serving_class, settings
from permafrost.node.errors import NodeError
from permafrost.node.gate import FRESH_S, Gate
from permafrost.node.servers import ControlServer, HealthHandler
from permafrost.node.service import NodeService
from permafrost.node.settings import Settings
from tests.unit.node.gate_bench import OTHER, PINNED, PROBES, FakeTriton


@pytest.fixture
def told(node_json: Callable[..., Path]) -> Settings:
    return settings.load(node_json())


@pytest.fixture
def triton() -> FakeTriton:
    return FakeTriton()


@pytest.fixture
def service(told: Settings, triton: FakeTriton) -> Iterator[NodeService]:
    made = NodeService(told, Gate(triton, PINNED, lambda: PROBES, lambda: 0.0))
    made.gate.tick()
    with ControlServer(told.control_socket, made) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield made
        made.stop()
        server.shutdown()
        thread.join()


def run(node_json: Callable[..., Path], *arguments: str) -> int:
    return command.main(["--config", str(node_json()), *arguments])


def test_state_names_everything_that_the_orchestrator_asks_for(
    service: NodeService, told: Settings, triton: FakeTriton
) -> None:
    service.gate.step()
    triton.flight = triton.flight.__class__(pending=2, executing=3, tokens=200)
    assert control.ask(told, "GET", "/state") == {
        "schema": 1,
        "node": "lab-chat-01",
        "state": "ADMITTED",
        "checkpoint": PINNED,
        "pinned": PINNED,
        "slot": "a",
        "pending": 2,
        "executing": 3,
        "reason": "",
        "scrub": None,
        "serving_class": serving_class.observed(told),
    }


def test_the_socket_is_for_its_owner_alone(service: NodeService, told: Settings) -> None:
    assert told.control_socket.stat().st_mode & 0o777 == 0o600


def test_probe_admits_and_exits_0(
    service: NodeService, node_json: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(node_json, "probe", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["passed"], answer["state"], answer["quiet"]) == (True, "ADMITTED", True)
    assert answer["probes"] == 2


def test_a_failed_probe_says_why_and_exits_3(
    service: NodeService,
    triton: FakeTriton,
    node_json: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    triton.answers["first?"] = (1, 2, 9)
    assert run(node_json, "probe", "--json") == 3
    answer = json.loads(capsys.readouterr().out)
    assert (answer["passed"], answer["state"]) == (False, "OUT")
    assert answer["reason"] == "probe one: token 2 is 9, recorded is 3"


def test_a_probe_and_the_state_tell_what_is_loaded_not_what_is_pinned(
    service: NodeService,
    triton: FakeTriton,
    told: Settings,
    node_json: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    triton.digest = OTHER
    assert run(node_json, "probe", "--json") == 3
    answer = json.loads(capsys.readouterr().out)
    assert (answer["checkpoint"], answer["pinned"]) == (OTHER, PINNED)
    state = control.ask(told, "GET", "/state")
    assert (state["state"], state["checkpoint"]) == ("OUT", OTHER)
    assert service.health()[1]["checkpoint"] == OTHER


def test_what_was_withdrawn_still_tells_what_it_has_loaded(
    service: NodeService, told: Settings
) -> None:
    service.gate.step()
    service.withdraw()
    state = control.ask(told, "GET", "/state")
    assert (state["state"], state["checkpoint"]) == ("OUT", PINNED)


def test_all_probes_on_request(
    service: NodeService, triton: FakeTriton, node_json: Callable[..., Path]
) -> None:
    assert run(node_json, "probe", "--all") == 0
    assert [text for text, _ in triton.asked] == ["first?", "second?", "third?"]


def test_withdraw_takes_it_out(
    service: NodeService, node_json: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(node_json, "withdraw") == 0
    assert "OUT" in capsys.readouterr().out
    assert service.health()[0] == 503


def test_without_the_service_state_still_answers(
    node_json: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(node_json, "state", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["state"], answer["pending"], answer["executing"]) == ("OUT", 0, 0)
    assert "does not answer" in answer["reason"]
    assert (answer["checkpoint"], answer["pinned"]) == ("", PINNED)


def test_without_the_service_a_probe_fails(
    node_json: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(node_json, "probe", "--json") == 4
    assert "NODE_SERVICE_SILENT" in capsys.readouterr().err


def test_a_second_service_takes_over_the_socket(told: Settings, service: NodeService) -> None:
    with ControlServer(told.control_socket, service):
        assert told.control_socket.exists()


def test_an_unanswered_control_call_is_one_clear_error(told: Settings) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(told.control_socket))
        silent.listen()
        with pytest.raises(NodeError, match="NODE_SERVICE_SILENT"):
            control.ask(told, "GET", "/state", timeout_s=0.05)


class HealthOverSocket(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def health(service: NodeService, tmp_path: Path) -> Iterator[Callable[[str], tuple[int, Any]]]:
    path = str(tmp_path / "health.sock")
    handler = type("Health", (HealthHandler,), {"service": service})
    with HealthOverSocket(path, handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()

        def get(target: str) -> tuple[int, Any]:
            connection = http.client.HTTPConnection("node", timeout=5)
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(path)
            connection.request("GET", target)
            response = connection.getresponse()
            body = json.loads(response.read())
            connection.close()
            return response.status, body

        yield get
        server.shutdown()
        thread.join()


def test_health_is_200_only_when_admitted(
    service: NodeService, health: Callable[[str], tuple[int, Any]]
) -> None:
    status, body = health("/permafrost/health")
    assert (status, body["state"]) == (503, "STARTING")
    assert (body["checkpoint"], body["pinned"]) == ("", PINNED)
    service.gate.step()
    status, body = health("/permafrost/health")
    assert (status, body["state"], body["checkpoint"]) == (200, "ADMITTED", PINNED)


def test_health_of_an_admitted_one_that_is_silent_is_neither_yes_nor_no(
    told: Settings, triton: FakeTriton
) -> None:
    now = [0.0]
    made = NodeService(told, Gate(triton, PINNED, lambda: PROBES, lambda: now[0]))
    made.gate.tick()
    made.gate.step()
    assert made.health()[0] == 200
    now[0] = FRESH_S + 0.1
    status, body = made.health()
    assert (status, body["state"], body["reason"]) == (504, "ADMITTED", "Triton does not answer")


def test_the_health_port_offers_nothing_else(
    service: NodeService, health: Callable[[str], tuple[int, Any]]
) -> None:
    for path in ("/state", "/probe", "/withdraw", "/"):
        assert health(path)[0] == 404


def test_a_checker_that_resets_its_connection_leaves_no_traceback(
    service: NodeService, told: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    with ControlServer(told.control_socket, service) as server:
        for error in (ConnectionResetError(), BrokenPipeError(), TimeoutError()):
            try:
                raise error
            except OSError:
                server.handle_error(None, None)
    assert capfd.readouterr().err == ""


def test_a_server_that_was_not_let_start_is_out_and_says_why(
    service: NodeService, told: Settings, triton: FakeTriton
) -> None:
    triton.up = False
    service.gate.tick()
    told.models_dir.mkdir(parents=True, exist_ok=True)
    refusals.note(
        told.models_dir, told.slot, NodeError("CHECKPOINT_BYTES_WRONG", "model.gguf differs")
    )
    state = control.ask(told, "GET", "/state")
    assert state["state"] == "OUT"
    assert "CHECKPOINT_BYTES_WRONG: model.gguf differs" in state["reason"]
    began = time.monotonic()
    probed = control.ask(told, "POST", "/probe")
    assert time.monotonic() - began < 30, "nobody waits for what cannot come"
    assert not probed["passed"]
    assert "model.gguf" in probed["reason"]
    refusals.forget(told.models_dir, told.slot)
    assert control.ask(told, "GET", "/state")["state"] == "STARTING"


def test_what_is_admitted_is_noted_as_served_and_what_is_out_is_not(
    triton: FakeTriton, node_json: Callable[..., Path], tmp_path: Path
) -> None:
    told = settings.load(node_json(served_dir=str(tmp_path)))
    service = NodeService(told, Gate(triton, PINNED, lambda: PROBES, lambda: 0.0))

    def pass_the_gate() -> str:
        service.gate.tick()
        service.gate.probe()
        service.tell()
        return service.gate.view().state

    triton.digest = OTHER
    assert pass_the_gate() == "OUT"
    assert served.last(tmp_path, "a") is None
    triton.digest = PINNED
    assert pass_the_gate() == "ADMITTED"
    assert served.last(tmp_path, "a") == PINNED


def test_what_cannot_be_noted_is_served_nevertheless(
    triton: FakeTriton, node_json: Callable[..., Path], tmp_path: Path
) -> None:
    told = settings.load(node_json(served_dir=str(tmp_path / "missing")))
    service = NodeService(told, Gate(triton, PINNED, lambda: PROBES, lambda: 0.0))
    service.gate.tick()
    service.gate.probe()
    service.tell()
    assert service.health()[0] == 200


@pytest.mark.parametrize(
    ("number", "code", "status"),
    [(errno.ENOSPC, "DISK_FULL", command.REFUSED), (errno.EIO, "STORE_FAILED", command.FAILED)],
)
def test_a_full_disk_is_called_so_whatever_was_being_written(
    number: int,
    code: str,
    status: int,
    node_json: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = node_json()

    def breaks(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(command.settings, "load", breaks)
    assert command.main(["--config", str(given), "state"]) == status
    assert capsys.readouterr().err.startswith(f"{code}: ")
