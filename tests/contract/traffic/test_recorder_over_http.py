"""The recorder against a real HTTP server on loopback that answers, cuts, refuses and lies."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from lab.traffic.client import Target
from lab.traffic.record import Kind, Outcome, Record, read
from lab.traffic.recorder import Load, Side, run
from lab.traffic.workload import PulseWorkload, pulse_tokens

WEIGHTS = b"weights of the test"
PINNED = "sha256:" + "a" * 64


class Server(BaseHTTPRequestHandler):
    """Answers as Triton's generate extension does, with a fault where the class says so."""

    protocol_version = "HTTP/1.1"
    fault = ""

    def log_message(self, *_: Any) -> None:
        return

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        count = json.loads(body["sampling_parameters"])["max_tokens"]
        tokens = list(pulse_tokens(WEIGHTS, body["text_input"], count))
        if self.fault == "refuse":
            return self.answer(429, b"later")
        if self.fault == "lie":
            tokens[1] ^= 1
        digest = "sha256:" + "b" * 64 if self.fault == "other" else PINNED
        if not body["stream"]:
            if self.fault == "cut":
                self.close_connection = True
                return None
            return self.answer(200, json.dumps({"token_ids": tokens}).encode(), digest)
        events = [f"data: {json.dumps({'token_ids': t})}\n\n".encode() for t in tokens]
        self.send_response(200)
        self.send_header("permafrost-checkpoint", digest)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in events[:2] if self.fault in ("cut", "short") else events:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        if self.fault == "cut":
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")
        return None

    def answer(self, status: int, body: bytes, digest: str = PINNED) -> None:
        self.send_response(status)
        self.send_header("permafrost-checkpoint", digest)
        self.send_header("content-type", "application/json")
        self.send_header("permafrost-replica", "lab-pulse-01")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(fault: str) -> Iterator[str]:
    handler = type("Faulty", (Server,), {"fault": fault})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def record(url: str, tmp_path: Path) -> list[Record]:
    file = tmp_path / "history.jsonl"
    work = PulseWorkload(WEIGHTS, max_tokens=4, interval_ms=0)
    sent = run(Load(20, 1, 0.5, "t"), Target(url, "pulse", PINNED, 5), work, None, file)
    records = list(read(file))
    assert sent == len(records) == 20
    return records


@pytest.mark.parametrize(
    ("fault", "outcomes"),
    [
        ("", {Outcome.OK}),
        ("refuse", {Outcome.REFUSED}),
        ("lie", {Outcome.WRONG}),
        ("other", {Outcome.WRONG}),
        ("short", {Outcome.OK, Outcome.CUT}),
        ("cut", {Outcome.FAILED, Outcome.CUT}),
    ],
)
def test_what_the_server_does_is_what_the_history_says(
    fault: str, outcomes: set[Outcome], tmp_path: Path
) -> None:
    with serving(fault) as url:
        assert {r.outcome for r in record(url, tmp_path)} == outcomes


def test_nobody_listening_is_failed_and_never_raises(tmp_path: Path) -> None:
    with serving("") as url:
        pass
    assert {r.outcome for r in record(url, tmp_path)} == {Outcome.FAILED}


def test_each_token_of_a_stream_has_its_time_and_departures_their_lateness(tmp_path: Path) -> None:
    with serving("") as url:
        records = record(url, tmp_path)
    streams = [r for r in records if r.kind is Kind.STREAM]
    assert all(len(r.token_ms) == 4 and list(r.token_ms) == sorted(r.token_ms) for r in streams)
    assert all(r.late_ms >= 0 for r in records)


@pytest.mark.parametrize(("fault", "lost"), [("", 0), ("lie", 1)])
def test_a_conversation_carries_what_was_said(tmp_path: Path, fault: str, lost: int) -> None:
    file = tmp_path / "history.jsonl"
    work = PulseWorkload(WEIGHTS, max_tokens=3, interval_ms=0)
    load = Load(1, 1, 0, "t", conversations=1, turns=3)
    with serving(fault) as url:
        run(load, Target(url, "pulse", PINNED, 5), work, None, file, Side(work))
    turns = [r for r in read(file) if r.conversation == "t-c0-0"]
    assert [r.turn for r in turns] == ([1] if lost else [1, 2, 3])
    said: list[tuple[int, ...]] = []
    for turn in turns:
        assert turn.expected == work.turn(0, said).expected
        said.append(turn.tokens)
    prompts = {work.turn(0, said[:n]).body["text_input"] for n in range(len(turns))}
    assert len(prompts) == len(turns), "each turn asks with all that was said before"
