"""The program that lands on each member as permafrost-knowledge, against servers."""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from permafrost.adapters.milvus.store import MilvusStore, state_of
from permafrost.adapters.ssh import CommandResult
from permafrost.errors import Failed
from permafrost.facts import QueryReplica
from tests.golden.ansible.programs import knowledge_program


@pytest.fixture
def program(tmp_path: Path) -> ModuleType:
    return knowledge_program(tmp_path, "bergen-knowledge-01")


def session(name: str, address: str) -> dict[str, str]:
    key = base64.b64encode(f"bergen/meta/session/{name}".encode()).decode()
    value = json.dumps({"ServerID": 7, "ServerName": name, "Address": address})
    return {"key": key, "value": base64.b64encode(value.encode()).decode()}


def replica(name: str, message: str) -> dict[str, str]:
    key = base64.b64encode(f"bergen/meta/querycoord-replica/{name}".encode()).decode()
    return {"key": key, "value": base64.b64encode(bytes.fromhex(message)).decode()}


REPLICAS = [
    # As protoc encodes querypb.Replica: ID 300, collection 400, nodes [101, 2**40] and the group.
    replica("400/300", "08ac02109003" + "1a0765808080808020" + "2205" + "5f5f5f5f5f"),
    # The same with its nodes one by one, as an older writer may, and fields of later versions.
    replica("400/301", "08ad02109003" + "1866" + "1867" + "2a0107" + "3d00000000"),
    replica("400/302", "08ae02109003"),
]
ETCD: dict[str, Any] = {
    "/v3/maintenance/status": {"leader": "42", "header": {"member_id": "42"}},
    "/v3/cluster/member/list": {"members": [{"ID": "42", "name": "bergen-knowledge-02"}]},
    "/v3/kv/range": {"kvs": [session("rootcoord", "10.20.0.24:53100"), session("id", "x")]},
}
ASKED: list[tuple[str, Any]] = []


@pytest.fixture
def server() -> Iterator[str]:
    """etcd's JSON and the object store's health, at one address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            ASKED.append((self.path, json.loads(asked)))
            self._answer(json.dumps(ETCD[self.path]).encode())

        def do_GET(self) -> None:
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return None

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def many(items: list[bytes]) -> bytes:
    return struct.pack(">i", len(items)) + b"".join(items)


def numbers(values: list[int]) -> bytes:
    return many([struct.pack(">i", value) for value in values])


def partition(leader: int, replicas: list[int], in_sync: list[int]) -> bytes:
    return struct.pack(">hii", 0, 0, leader) + numbers(replicas) + numbers(in_sync)


def metadata(partitions: list[bytes]) -> bytes:
    broker = struct.pack(">i", 1) + text("10.20.0.24") + struct.pack(">i", 9092)
    body = struct.pack(">i", 1) + many([broker + struct.pack(">h", -1), broker + text("rack-a")])
    body += struct.pack(">i", 1)
    topic = struct.pack(">h", 0) + text("bergen-dml_0") + b"\0" + many(partitions)
    body += many([topic])
    return struct.pack(">i", len(body)) + body


def broker(answer: bytes, monkeypatch: pytest.MonkeyPatch, program: ModuleType) -> None:
    """Let the program find a broker that answers in two pieces."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            connection.recv(1000)
            connection.sendall(answer[:7])
            connection.sendall(answer[7:])

    threading.Thread(target=serve, daemon=True).start()
    real, port = socket.create_connection, listener.getsockname()[1]
    ours = SimpleNamespace(create_connection=lambda _, **how: real(("127.0.0.1", port), **how))
    monkeypatch.setattr(program, "socket", ours)


def test_partitions_without_all_copies_and_without_a_leader_are_counted(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, short = partition(1, [1, 2, 3], [1, 2, 3]), partition(1, [1, 2, 3], [1, 2])
    gone = partition(-1, [1, 2, 3], [])
    broker(metadata([whole, short, gone]), monkeypatch, program)
    assert program.queue({"address": "10.20.0.24", "etcd": []}) == {
        "brokers": 2,
        "partitions": 3,
        "under_replicated": 2,
        "offline": 1,
    }


def test_what_it_prints_is_what_the_orchestrator_reads(
    program: ModuleType, server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broker(metadata([partition(1, [1, 2, 3], [1, 2, 3])]), monkeypatch, program)
    words = {"etcd": "active", "spare-1": "inactive", "spare-2": "failed", "spare-3": "active"}
    monkeypatch.setattr(program, "units", lambda names: {n: {"state": words[n]} for n in names})
    settings = {
        "spares": ["spare-1", "spare-2", "spare-3"],
        "etcd": [server, "http://127.0.0.1:1"],
        "root": "bergen",
        "object_store": server,
        "object_store_ready": "/minio/health/cluster",
        "object_store_external": False,
        "object_store_ca": "",
        "address": "10.20.0.24",
        "brokers": 3,
        "units": ["etcd"],
        "data": str(tmp_path),
    }
    mark = tmp_path / "minio" / "d1" / ".minio.sys" / "buckets" / ".healing.bin"
    mark.parent.mkdir(parents=True)
    mark.touch()
    found = state_of("bergen-knowledge-01", program.state(settings))
    assert found.etcd_leader == "bergen-knowledge-02"
    assert found.etcd_answering == 1
    assert found.store_is_writable
    assert found.brokers == 2
    assert found.units == {"etcd": "active", "spare-3": "active"}, "those that stand still may"
    assert found.spares == {"spare-1", "spare-2", "spare-3"}
    assert found.sessions == (("rootcoord", "10.20.0.24:53100"), ("id", "x"))
    assert found.healing == 1
    for is_done, left in ((b"\xc2", 1), (b"\xc3", 0)):
        mark.write_bytes(b"\x00\x01\x82\xa8Finished" + is_done)
        assert program.healing(settings) == left
    assert found.disk_mib is not None
    assert 0 < (found.disk_free_mib or 0) <= found.disk_mib
    assert found.cluster_owner == ""
    assert found.replicas == ()
    monkeypatch.setitem(ETCD, "/v3/kv/range", {"kvs": [*ETCD["/v3/kv/range"]["kvs"], *REPLICAS]})
    noted = state_of("bergen-knowledge-01", program.state(settings))
    assert noted.sessions == found.sessions
    assert noted.replicas == (
        QueryReplica("400", "300", frozenset({101, 2**40})),
        QueryReplica("400", "301", frozenset({102, 103})),
        QueryReplica("400", "302", frozenset()),
    )
    monkeypatch.setitem(ETCD, "/v3/kv/range", {"kvs": [replica("400/300", "1aff")]})
    broken = program.etcd(settings)
    assert (broken["answering"], broken["replicas"]) == (1, []), "never a document less"
    gone = program.state({**settings, "data": str(tmp_path / "nowhere")})
    assert state_of("bergen-knowledge-01", gone).disk_mib is None


def test_stores_without_a_quorum_are_told_by_name(program: ModuleType) -> None:
    settings = {
        "etcd": ["http://127.0.0.1:1", "http://127.0.0.1:1"],
        "root": "bergen",
        "object_store": "http://127.0.0.1:1",
        "object_store_ready": "/minio/health/cluster",
        "object_store_external": False,
        "object_store_ca": "",
        "address": "127.0.0.1",
        "brokers": 3,
    }
    lacking = "; ".join(program.missing(settings))
    assert "etcd: 0 of 2 members answer" in lacking
    assert "object store: not writable" in lacking
    assert "queue: 0 of 3 brokers" in lacking
    assert program.wait_for_stores(settings, 0) == 1


def test_leadership_goes_to_a_member_that_answers_and_what_serves_is_stopped(
    program: ModuleType, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real etcd took the same calls; what it is told here is held to word for word."""
    told: list[list[str]] = []
    run = SimpleNamespace(run=lambda argv, **_: told.append(argv))
    monkeypatch.setattr(program, "subprocess", run)
    silent = {"ID": "41", "name": "bergen-knowledge-01", "clientURLs": ["http://127.0.0.1:1"]}
    other = {"ID": "43", "name": "bergen-knowledge-03", "clientURLs": [server]}
    me = {"ID": "42", "name": "bergen-knowledge-02", "clientURLs": [server]}
    monkeypatch.setitem(ETCD, "/v3/cluster/member/list", {"members": [silent, me, other]})
    monkeypatch.setitem(ETCD, "/v3/maintenance/transfer-leadership", {})
    settings = {
        "etcd": [server, "http://127.0.0.1:1"],
        "address": "127.0.0.1",
        "units": ["etcd", "milvus-proxy"],
        "serving": [["milvus-proxy"], ["milvus-coordinators"]],
        "root": "bergen",
        "coordinators": ["rootcoord"],
        "query_ports": {},
    }
    ASKED.clear()
    assert program.hand_over(settings)["etcd_leader"] == "bergen-knowledge-03"
    assert ("/v3/maintenance/transfer-leadership", {"targetID": "43"}) in ASKED
    assert told == [
        ["systemctl", "stop", "milvus-proxy.service"],
        ["systemctl", "stop", "milvus-coordinators.service"],
    ]
    program.take_up(settings)
    assert told[2][-2:] == ["etcd.service", "milvus-proxy.service"]


def test_who_does_not_lead_gives_nothing_away_and_who_is_alone_says_so(
    program: ModuleType, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"etcd": [server], "address": "127.0.0.1", "units": [], "serving": []}
    settings |= {"root": "bergen", "coordinators": [], "query_ports": {}}
    with pytest.raises(OSError, match="no other member"):
        program.hand_over(settings)
    follower = {"leader": "41", "header": {"member_id": "42"}}
    monkeypatch.setitem(ETCD, "/v3/maintenance/status", follower)
    assert program.hand_over(settings)["etcd_leader"] == ""


def test_one_process_that_serves_here_begins_anew_and_no_other_unit(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[str]] = []
    run = SimpleNamespace(run=lambda argv, **_: told.append(argv))
    monkeypatch.setattr(program, "subprocess", run)
    settings = {
        "serving": [["milvus-proxy"], ["milvus-query-1", "milvus-query-2"]],
        "query_ports": {},
    }
    assert program.restart(settings, "milvus-query-2") == {
        "schema": 1,
        "restarted": "milvus-query-2",
        "emptied": [],
    }
    assert told == [["systemctl", "restart", "milvus-query-2.service"]]
    with pytest.raises(OSError, match="is called etcd"):
        program.restart(settings, "etcd")
    assert len(told) == 1


def told_of_queries() -> dict[str, object]:
    return {"serving": [["milvus-query-1"]], "query_ports": {}, "etcd": []}


def test_the_orchestrator_takes_a_restart_for_done_only_where_the_member_says_so(
    program: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """A member that was configured by an older version prints its state, whatever it is told."""
    monkeypatch.setattr(program, "subprocess", SimpleNamespace(run=lambda *_, **__: None))
    monkeypatch.setattr(program, "SETTINGS", str(tmp_path / "settings"))
    (tmp_path / "settings").write_text(json.dumps(told_of_queries()))

    def run(member: str, argv: tuple[str, ...], *, deadline_s: float) -> CommandResult:
        assert (member, deadline_s) == ("bergen-knowledge-02", 150.0)
        monkeypatch.setattr("sys.argv", list(argv[2:]))
        return CommandResult(program.main(), capsys.readouterr().out, "")

    shell: Any = SimpleNamespace(run=run)
    loaded: Any = None
    store = MilvusStore(loaded, shell, tmp_path)
    store.restart("bergen-knowledge-02", "milvus-query-1", deadline_s=150.0)
    monkeypatch.setattr(program, "restart", lambda *_: {"schema": 1, "units": {}})
    with pytest.raises(Failed) as failed:
        store.restart("bergen-knowledge-02", "milvus-query-1", deadline_s=150.0)
    assert failed.value.code == "KNOWLEDGE_NOT_MOVED"


def test_leadership_goes_where_no_coordinator_is_active(
    program: ModuleType, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch beside active coordinators would move it on, perhaps to where it came from."""
    first = {"ID": "41", "name": "bergen-knowledge-01", "clientURLs": [server]}
    me = {"ID": "42", "name": "bergen-knowledge-03", "clientURLs": ["http://10.20.0.26:2379"]}
    other = {"ID": "43", "name": "bergen-knowledge-02", "clientURLs": ["http://10.20.0.25:2379"]}
    monkeypatch.setitem(ETCD, "/v3/cluster/member/list", {"members": [first, me, other]})
    monkeypatch.setitem(ETCD, "/v3/maintenance/transfer-leadership", {})
    monkeypatch.setitem(ETCD, "/v3/kv/range", {"kvs": [session("rootcoord", "127.0.0.1:53100")]})
    monkeypatch.setattr(program, "answers", lambda member: True)
    settings = {"etcd": [server], "address": "127.0.0.1", "units": [], "serving": []}
    settings |= {"root": "bergen", "coordinators": ["rootcoord"], "query_ports": {}}
    assert program.hand_over(settings)["etcd_leader"] == "bergen-knowledge-02"
    monkeypatch.setattr(program, "answers", lambda member: member["ID"] == "41")
    assert program.hand_over(settings)["etcd_leader"] == "bergen-knowledge-01"
